/** Clients that do all there is to do to a few objects, through any node, and what they saw. */
import type { RequestDirectives } from "../../src/core/freshness.ts";
import type { WriteConditions } from "../../src/core/precondition.ts";
import { isAtollError } from "../../src/errors.ts";
import type { AtollNode } from "../../src/node/node.ts";
import { defer } from "../../src/node/waiting.ts";
import type { SeededRandom } from "../helpers/fake-random.ts";
import type { Operation } from "../helpers/linearizability.ts";
import { HASHING, type MemoryRing } from "../helpers/memory-ring.ts";
import { uploadOf } from "../helpers/uploads.ts";
import { type Body, bodyOf, drawSize } from "./bodies.ts";
import { wait } from "./faults.ts";
import type { Input, Output } from "./model.ts";

/** Any operation has an end by then, whatever happens: deadlines of the write, of the read, of a body, and then some. */
const STUCK_MS = 120_000;
/** Told to a client as "it was not done", an upload that took too long too; everything else may have been. */
const SURELY_NOT = ["no-quorum", "storage-full", "incomplete-body"] as const;
const PERHAPS = ["outcome-unknown", "internal", "overloaded", "damaged", "peer-refused"] as const;

const CURRENT: RequestDirectives = { noCache: true, onlyIfCached: false };

export class ObjectClients {
  readonly name: string;
  readonly operations: Operation<Input, Output>[] = [];
  readonly ends = new Map<string, number>();
  readonly #ring: MemoryRing;
  readonly #ids: readonly string[];
  readonly #random: SeededRandom;
  /** Moments count up with each event: two events of one ms still have an order. */
  #moment = 0;
  #bodies = 0;

  constructor(ring: MemoryRing, ids: readonly string[], random: SeededRandom, name: string) {
    this.name = name;
    this.#ring = ring;
    this.#ids = ids;
    this.#random = random;
  }

  /** `laterMs`: it begins at any time until then. */
  async client(endMs: number, most: number, laterMs = 0): Promise<void> {
    const random = this.#random;
    if (laterMs > 0) await wait(this.#ring, random.fraction() * laterMs);
    const thinkMs = random.pick([20, 500, 4_000]);
    let seen = 0;
    for (let count = 0; count < most && this.#ring.clock.monotonicMs() < endMs; count++) {
      await wait(this.#ring, random.fraction() * thinkMs);
      const kind = random.pick(
        ["read", "read", "read", "put", "put", "create", "cas", "cas", "delete"] as const,
      );
      seen = (await this.#perform(random.pick(this.#ids), kind, seen))?.version ?? seen;
    }
  }

  /** When all is quiet every node must answer. */
  async lastRead(id: string): Promise<void> {
    if (!await this.#perform(id, "read", 0)) throw new Error(`wanted an answer from ${id}, all is quiet`);
  }

  async #perform(id: string, kind: Input["kind"], seen: number): Promise<Output | undefined> {
    if (!this.#ring.isUp(id)) return undefined;
    const body = bodyOf(`${this.name} ${this.#bodies++}`, drawSize((limit) => this.#random.below(limit)));
    const input: Input = kind === "read" || kind === "delete"
      ? { kind }
      : kind === "cas"
      ? { kind, sha256: body.sha256, ifVersion: seen }
      : { kind, sha256: body.sha256 };
    const calledAt = this.#moment++;
    const output = await this.#outcome(id, input, body);
    this.#count(typeof output === "string" ? output : output.kind);
    if (output === "not-done" || (output === "unknown" && kind === "read")) return undefined;
    const known = output === "unknown" ? undefined : output;
    this.operations.push({ input, output: known, calledAt, returnedAt: known ? this.#moment++ : Infinity });
    return known;
  }

  async #outcome(id: string, input: Input, body: Body): Promise<Output | "unknown" | "not-done"> {
    const progress = { answered: false };
    const answer = ask(this.#ring.node(id), this.name, input, body).finally(() => {
      progress.answered = true;
    });
    answer.catch(() => {}); // met below, unless the node crashed
    const begunMs = this.#ring.clock.monotonicMs();
    const stuck = defer<void>();
    const cancel = this.#ring.clock.after(
      STUCK_MS,
      () => stuck.reject(new Error(`wanted an end of ${input.kind} at ${id}, begun at ${begunMs}`)),
    );
    await Promise.race([answer.catch(() => {}), this.#ring.site(id).ended.promise, stuck.promise]).finally(
      cancel,
    );
    if (!progress.answered) return "unknown";
    try {
      return await answer;
    } catch (error) {
      if (isAtollError(error, ...SURELY_NOT)) return "not-done";
      if (isAtollError(error, ...PERHAPS)) return "unknown";
      throw error;
    }
  }

  #count(end: string): void {
    this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
  }
}

async function ask({ objects }: AtollNode, name: string, input: Input, body: Body): Promise<Output> {
  switch (input.kind) {
    case "read": {
      const located = await objects.locate(name, CURRENT);
      if (located.kind === "not-cached") throw new Error("only-if-cached was not asked for");
      if (located.kind === "absent") return located;
      const { version, manifest } = located.object;
      await readWhole(objects, name, located.object);
      return { kind: "found", version, sha256: manifest.sha256 };
    }
    case "delete": {
      const outcome = await objects.delete(name, {});
      if (outcome.kind === "conflict") throw new Error("wanted no conflict, there was no condition");
      return { kind: "deleted", version: outcome.version ?? 0 };
    }
    default: {
      const outcome = await objects.put(uploadOf(name, body.bytes), conditionsOf(input));
      if (outcome.kind === "conflict") return { kind: "conflict", version: outcome.current?.version ?? 0 };
      return { kind: "stored", version: outcome.version, created: outcome.created };
    }
  }
}

/** The bytes must be those that were stored: the manifest's digest is that of the client that stored them. */
async function readWhole(
  objects: AtollNode["objects"],
  name: string,
  object: Parameters<AtollNode["objects"]["open"]>[1],
): Promise<void> {
  const { size, sha256 } = object.manifest;
  if (size === 0) return;
  const digest = HASHING.running("sha256");
  let got = 0;
  const { bytes } = await objects.open(name, object, 0, size - 1);
  for await (const part of bytes) {
    digest.update(part);
    got += part.length;
  }
  if (got !== size || digest.digestHex() !== sha256) throw new Error(`a wrong byte: ${got} of ${size}`);
}

function conditionsOf(input: Input): WriteConditions {
  if (input.kind === "create") return { ifNoneMatch: "*" };
  return input.kind === "cas" ? { ifVersion: input.ifVersion } : {};
}
