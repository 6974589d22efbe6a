/** A change after one's own: no promises, one round trip; and when that must not be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Content } from "../../src/core/register.ts";
import type { ChangeOutcome, ChangeRequest } from "../../src/node/register-attempt.ts";
import { HASHING, type MemoryRing } from "../helpers/memory-ring.ts";
import { openParts, type Parts } from "../helpers/memory-ring-parts.ts";
import { manifestOf, stateAt } from "../helpers/stored-objects.ts";
import { bytesOf } from "../helpers/uploads.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";

/** As of an object in several chunks, which are where they should be before its register changes. */
function write(body: string): ChangeRequest {
  const content = contentOf(bytesOf(body));
  return { name: NAME, decide: () => ({ kind: "write", content }) };
}

/** As of a small object. */
function writeSmall(body: string): ChangeRequest {
  const bytes = bytesOf(body);
  return { ...write(body), chunk: { id: HASHING.sha256(bytes), bytes } };
}

function contentOf(bytes: Uint8Array): Content {
  return { kind: "object", manifest: manifestOf(HASHING.sha256(bytes), bytes.length) };
}

const erase: ChangeRequest = {
  name: NAME,
  decide: () => ({ kind: "write", content: { kind: "tombstone" } }),
};

/** What of phase 1 and 2 is sent from now on, by its sender. */
function watch(ring: MemoryRing): string[] {
  const sent: string[] = [];
  ring.network.rule(({ from, request, reply }) => {
    if (!reply && ["prepare", "accept"].includes(request.type)) sent.push(`${from} ${request.type}`);
    return undefined;
  });
  return sent;
}

async function change(
  ring: MemoryRing,
  { registers }: Parts,
  request: ChangeRequest,
): Promise<ChangeOutcome> {
  const outcome = await ring.run(registers.change(request), "the change");
  await ring.clock.advance(100);
  return outcome;
}

/** What it promises and writes does not reach a, which still takes itself for the last. */
async function changeUnseen(ring: MemoryRing, parts: Parts, request: ChangeRequest): Promise<void> {
  const heal = ring.network.rule(({ from, to }) =>
    from === parts.id && to === "a" ? { refused: true } : undefined
  );
  await change(ring, parts, request);
  heal();
}

test("a change after one's own takes one round trip", async () => {
  const { ring, parts } = await openParts({ ids: IDS, delayMs: () => 50 });
  const a = parts["a"]!;
  assert.partialDeepStrictEqual(await change(ring, a, write("first")), { trips: 2 });
  const sent = watch(ring);
  for (const [n, request] of [write("second"), write("third"), erase].entries()) {
    const begunMs = ring.clock.monotonicMs();
    const outcome = await ring.run(a.registers.change(request));
    assert.ok(ring.clock.monotonicMs() - begunMs < 120, "100 ms there and back, and no more");
    assert.partialDeepStrictEqual(outcome, { kind: "changed", version: n + 2, trips: 1 });
    await ring.clock.advance(200);
  }
  assert.deepEqual(sent, Array(6).fill("a accept"));
  for (const id of IDS) assert.equal((await stateAt(ring, id, NAME))?.value?.version, 4, id);
});

for (
  const [why, between] of [
    ["somebody else changed it", (ring, { b }) => change(ring, b!, write("theirs"))],
    ["it was deleted", (ring, { a }) => change(ring, a!, erase)],
    ["a majority seems to be away", async (ring, { a }) => {
      for (const id of ["b", "c"]) {
        const heal = ring.network.refuse(id);
        await assert.rejects(ring.run(a!.gate.call(id, { type: "layout" }, { timeoutMs: 100 })));
        heal();
      }
    }],
  ] as const satisfies readonly (readonly [
    string,
    (ring: MemoryRing, parts: Readonly<Record<string, Parts>>) => Promise<unknown>,
  ])[]
) {
  test(`a change after one's own begins with promises when ${why}`, async () => {
    const { ring, parts } = await openParts({ ids: IDS });
    await change(ring, parts["a"]!, write("first"));
    await between(ring, parts);
    const sent = watch(ring);
    assert.equal((await change(ring, parts["a"]!, write("last"))).kind, "changed");
    assert.ok(sent.includes("a prepare"), sent.join());
  });
}

test("a led change that somebody overtook is made all the same, once", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const { a, b } = parts as Record<"a" | "b", Parts>;
  await change(ring, a, write("first"));
  await changeUnseen(ring, b, write("theirs"));
  const outcome = await change(ring, a, write("mine"));
  assert.partialDeepStrictEqual(outcome, { kind: "changed", version: 3 });
});

test("a condition that seems not to hold is asked of a majority", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const { a, b } = parts as Record<"a" | "b", Parts>;
  await change(ring, a, write("first"));
  await changeUnseen(ring, b, write("theirs"));
  const { decide } = write("mine");
  const ifSecond: ChangeRequest = {
    ...write("mine"),
    decide: (current) => current?.version === 2 ? decide(current) : { kind: "stop" },
  };
  assert.partialDeepStrictEqual(await change(ring, a, ifSecond), { kind: "changed", version: 3 });
});

test("a value whose chunk a majority lacks is accepted nowhere: a small object's change begins with promises", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  await change(ring, parts["a"]!, writeSmall("first"));
  const sent = watch(ring);
  const chunk = HASHING.sha256(bytesOf("second"));
  ring.network.rule(({ request, reply }) => {
    if (!reply && request.type === "accept") assert.ok(sent.includes("a prepare"), "the chunk went first");
    return undefined;
  });
  await change(ring, parts["a"]!, writeSmall("second"));
  assert.deepEqual(sent, ["a prepare", "a prepare", "a accept", "a accept"]);
  for (const id of IDS) assert.ok(await ring.site(id).disk.catalog.chunk(chunk), id);
});
