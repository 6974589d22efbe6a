/**
 * Clients that read, write, compare-and-swap and delete one key through several nodes while messages are late, lost and
 * repeated, links are cut, and nodes crash and come back: the history they saw, for the checker to judge.
 */
import type { RequestDirectives } from "../../src/core/freshness.ts";
import type { WriteConditions } from "../../src/core/precondition.ts";
import { isAtollError } from "../../src/errors.ts";
import type { AtollNode } from "../../src/node/node.ts";
import type { DeleteOutcome, Located, PutOutcome } from "../../src/node/objects.ts";
import type { Upload } from "../../src/node/put-object.ts";
import { createSeededRandom } from "./fake-random.ts";
import type { Model, Operation } from "./linearizability.ts";
import { HASHING, MemoryRing } from "./memory-ring.ts";

export type Input =
  | { readonly kind: "read" }
  | { readonly kind: "delete" }
  | { readonly kind: "put" | "create"; readonly text: string }
  | { readonly kind: "cas"; readonly text: string; readonly ifVersion: number };

export type Output =
  | { readonly kind: "found"; readonly version: number; readonly sha256: string }
  | { readonly kind: "absent"; readonly version: number }
  | { readonly kind: "stored"; readonly version: number; readonly created: boolean }
  | { readonly kind: "deleted"; readonly version: number }
  | { readonly kind: "conflict"; readonly version: number };

/** Version and content's digest; null where there is no object. */
interface State {
  readonly version: number;
  readonly sha256: string | null;
}

const CURRENT: RequestDirectives = { noCache: true, onlyIfCached: false };

export const REGISTER_MODEL: Model<State, Input, Output> = {
  initial: { version: 0, sha256: null },
  key: ({ version, sha256 }) => `${version} ${sha256}`,
  apply(state, input, output) {
    const there = state.sha256 !== null;
    const unchanged = (wanted: Output): State | undefined =>
      !output || same(output, wanted) ? state : undefined;
    if (input.kind === "read") {
      return unchanged(
        state.sha256 !== null
          ? { kind: "found", version: state.version, sha256: state.sha256 }
          : { kind: "absent", version: state.version },
      );
    }
    if (input.kind === "delete") {
      if (!there) return unchanged({ kind: "deleted", version: state.version });
      const next = { version: state.version + 1, sha256: null };
      return !output || same(output, { kind: "deleted", version: next.version }) ? next : undefined;
    }
    const live = there ? state.version : 0;
    const fails = (input.kind === "create" && there) || (input.kind === "cas" && input.ifVersion !== live);
    if (fails) return unchanged({ kind: "conflict", version: live });
    const next = { version: state.version + 1, sha256: HASHING.sha256(bytesOf(input.text)) };
    const wanted: Output = { kind: "stored", version: next.version, created: !there };
    return !output || same(output, wanted) ? next : undefined;
  },
};

export interface History {
  readonly operations: readonly Operation<Input, Output>[];
  /** How operations ended, for counting. */
  readonly ends: Readonly<Record<string, number>>;
}

/** One history; everything in it follows from the seed. */
export async function playHistory(seed: number): Promise<History> {
  const random = createSeededRandom(seed);
  const lossy = random.pick([0, 0.02, 0.1]);
  const doubling = random.pick([0, 0.1, 0.3]);
  const slowest = random.pick([3, 30, 300]);
  const ids = random.pick([["a", "b", "c"], ["a", "b", "c", "d"], ["a", "b", "c", "d", "e"]]);
  const ring = await MemoryRing.open({
    ids,
    seed,
    replicas: ids.length === 5 && random.chance(0.5) ? 5 : 3,
    delayMs: (_, { fraction }) => 1 + fraction() * 4,
    diskMs: ({ fraction }) => fraction() * 4,
    skewMs: () => random.below(10_000) - 5_000,
  });
  const name = `bucket\0key-${seed}`;
  const operations: Operation<Input, Output>[] = [];
  const ends: Record<string, number> = {};
  let step = 0;
  let texts = 0;
  const heal = ring.network.rule(() => ({
    lost: random.chance(lossy),
    copies: random.chance(doubling) ? 2 : 1,
    delayMs: 1 + (random.chance(0.2) ? random.fraction() * slowest : random.fraction() * 3),
  }));

  async function perform(id: string, input: Input): Promise<number> {
    const calledAt = step++;
    let knownVersion = 0;
    const ended = (output: Output | undefined): void => {
      ends[output?.kind ?? "unknown"] = (ends[output?.kind ?? "unknown"] ?? 0) + 1;
      const returnedAt = output ? step++ : Infinity;
      operations.push({ input, output, calledAt, returnedAt });
      knownVersion = output?.version ?? 0;
    };
    if (!ring.isUp(id)) return 0;
    const life = ring.site(id).life;
    const answer = ask(ring.node(id), name, input);
    let answered = false;
    answer.then(() => (answered = true), () => (answered = true));
    // Who asked a node that crashed hears nothing more from it.
    await gone(() => answered || ring.site(id).life !== life);
    if (!answered) {
      if (input.kind !== "read") ended(undefined);
      return 0;
    }
    try {
      ended(await answer);
    } catch (error) {
      if (isAtollError(error, "outcome-unknown")) ended(undefined);
      // `no-quorum` promises that it was not and will not be applied: it is no part of the history at all.
      else if (isAtollError(error, "no-quorum")) ends["no-quorum"] = (ends["no-quorum"] ?? 0) + 1;
      else throw error;
    }
    return knownVersion;
  }

  const POLL_MS = 5;
  function gone(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (condition()) resolve();
        else ring.clock.after(POLL_MS, look);
      };
      look();
    });
  }

  const wait = (ms: number): Promise<void> => new Promise((resolve) => void ring.clock.after(ms, resolve));

  async function client(): Promise<void> {
    let seen = 0;
    for (let count = 3 + random.below(4); count > 0; count--) {
      await wait(random.fraction() * random.pick([2, 20, 200]));
      const text = `${seed} ${texts++}`;
      const input: Input = random.pick<Input>([
        { kind: "read" },
        { kind: "read" },
        { kind: "put", text },
        { kind: "put", text },
        { kind: "create", text },
        { kind: "cas", text, ifVersion: seen },
        { kind: "cas", text, ifVersion: seen },
        { kind: "delete" },
      ]);
      seen = await perform(random.pick(ids), input);
    }
  }

  async function trouble(): Promise<void> {
    for (let count = random.below(5); count > 0; count--) {
      await wait(random.fraction() * 300);
      const id = random.pick(ids);
      if (random.chance(0.5)) {
        const end = random.chance(0.5) ? ring.network.hang(id) : ring.network.refuse(id);
        await wait(random.fraction() * 1_000);
        end();
      } else if (ring.isUp(id)) {
        ring.crash(id);
        await wait(random.fraction() * 200);
        await ring.start(id);
      }
    }
  }

  const clients = Array.from({ length: 2 + random.below(4) }, client);
  await ring.run(Promise.all([...clients, trouble()]), `history ${seed}`, 300_000);

  // Quiet: every node answers, and says the same.
  heal();
  await ring.clock.advance(5_000);
  for (const id of ids) {
    await ring.run(perform(id, { kind: "read" }), `the last read at ${id} of history ${seed}`);
  }
  const lastReads = operations.slice(-ids.length);
  if (lastReads.some(({ output }) => !output)) {
    throw new Error(`history ${seed}: a quiet ring does not answer`);
  }
  ring.close();
  return { operations, ends };
}

async function ask(node: AtollNode, name: string, input: Input): Promise<Output> {
  switch (input.kind) {
    case "read":
      return fromLocated(await node.objects.locate(name, CURRENT));
    case "delete":
      return fromDelete(await node.objects.delete(name, {}));
    default: {
      const conditions: WriteConditions = input.kind === "create"
        ? { ifNoneMatch: "*" }
        : input.kind === "cas"
        ? { ifVersion: input.ifVersion }
        : {};
      return fromPut(await node.objects.put(uploadOf(name, bytesOf(input.text)), conditions));
    }
  }
}

function fromLocated(located: Located): Output {
  if (located.kind === "absent") return located;
  if (located.kind === "not-cached") throw new Error("wanted an answer, it was not asked for");
  const { version, manifest: { sha256 } } = located.object;
  return { kind: "found", version, sha256 };
}

function fromPut(outcome: PutOutcome): Output {
  if (outcome.kind === "conflict") return { kind: "conflict", version: outcome.current?.version ?? 0 };
  return { kind: "stored", version: outcome.version, created: outcome.created };
}

function fromDelete(outcome: DeleteOutcome): Output {
  if (outcome.kind === "conflict") return { kind: "conflict", version: outcome.current?.version ?? 0 };
  return { kind: "deleted", version: outcome.version ?? 0 };
}

export function uploadOf(name: string, bytes: Uint8Array, headers: Record<string, string> = {}): Upload {
  return { name, body: oneByOne([bytes]), maxBytes: 1 << 40, sizeBytes: bytes.length, digests: [], headers };
}

export async function* oneByOne(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function same(a: Output, b: Output): boolean {
  return JSON.stringify(a, Object.keys(a).sort()) === JSON.stringify(b, Object.keys(b).sort());
}
