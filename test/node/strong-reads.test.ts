/** StrongReads: one round trip where a majority agrees, and never an answer that is older than the question. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerRequest } from "../../src/ports.ts";
import type { Message } from "../helpers/fake-network.ts";
import type { MemoryRing } from "../helpers/memory-ring.ts";
import { openParts, type Parts } from "../helpers/memory-ring-parts.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";

async function write({ registers }: Parts, ring: MemoryRing): Promise<number> {
  const outcome = await ring.run(
    registers.change({ name: NAME, decide: () => ({ kind: "write", content: { kind: "tombstone" } }) }),
    "the write",
  );
  return outcome.kind === "changed" ? outcome.version : assert.fail();
}

/** Questions of one kind that were sent since. */
function watch(ring: MemoryRing, type: PeerRequest["type"]): Message[] {
  const sent: Message[] = [];
  ring.network.rule((message) => {
    if (message.request.type === type) sent.push(message);
    return undefined;
  });
  return sent;
}

/** Leaves the newest value with a alone: accepted by a minority. */
async function leaveHalfDone(ring: MemoryRing, parts: Readonly<Record<string, Parts>>): Promise<void> {
  const heal = ring.network.rule(({ request, to }) =>
    request.type === "accept" && to !== "a" ? { lost: true } : undefined
  );
  const registers = parts["a"]!.registers;
  const change = registers.change({
    name: NAME,
    decide: () => ({ kind: "write", content: { kind: "tombstone" } }),
  });
  await assert.rejects(ring.run(change), { code: "outcome-unknown" });
  heal();
}

test("StrongReads.read is one round trip to as few as make a majority, when those agree", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  await write(parts["a"]!, ring);
  await ring.clock.advance(100);
  const sent = watch(ring, "read");
  const begunMs = ring.clock.monotonicMs();
  const { value } = await ring.run(parts["a"]!.strongReads.read(NAME));
  assert.equal(value?.version, 1);
  assert.equal(ring.clock.monotonicMs() - begunMs, 2);
  assert.equal(sent.filter(({ reply }) => !reply).length, 1, "its own replica and the nearest");
});

test("StrongReads.read never joins a question under way: a write that ended in between is seen", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  assert.equal(await write(parts["a"]!, ring), 1);
  await ring.clock.advance(100);
  // The first reader's answers were given before the write, and arrive long after it.
  ring.network.rule(({ request, to, reply }) =>
    request.type === "read" && to === "a" && reply ? { delayMs: 500 } : undefined
  );
  let answered = false;
  const early = parts["a"]!.strongReads.read(NAME).finally(() => (answered = true));
  await ring.clock.advance(50);
  assert.equal(await write(parts["b"]!, ring), 2);
  assert.equal(answered, false, "the first question is under way still");
  const late = parts["a"]!.strongReads.read(NAME);
  assert.equal((await ring.run(late)).value?.version, 2);
  assert.ok(answered);
  await early;
});

test("StrongReads.read: all who come while a question is under way share the next one", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  await write(parts["a"]!, ring);
  await ring.clock.advance(100);
  const sent = watch(ring, "read");
  const early = parts["a"]!.strongReads.read(NAME);
  const late = Array.from({ length: 50 }, () => parts["a"]!.strongReads.read(NAME));
  const [first, ...others] = await ring.run(Promise.all([early, ...late]));
  assert.equal(sent.filter(({ reply }) => !reply).length, 2, "two questions to one peer");
  assert.ok(others.every((other) => other === others[0]));
  assert.ok(others[0]!.knownAtMs > first.knownAtMs);
});

test("StrongReads.read goes on after a question that failed", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  await write(parts["a"]!, ring);
  const heal = [ring.network.refuse("b"), ring.network.refuse("c")];
  const failing = parts["a"]!.strongReads.read(NAME);
  const next = parts["a"]!.strongReads.read(NAME);
  next.catch(() => {}); // met below
  await assert.rejects(ring.run(failing), { code: "no-quorum" });
  for (const undo of heal) undo();
  await ring.run(next.catch(() => {}));
  assert.equal((await ring.run(parts["a"]!.strongReads.read(NAME))).value?.version, 1);
});

test("StrongReads.read finishes what it finds half done before it answers", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  assert.equal(await write(parts["b"]!, ring), 1);
  await ring.clock.advance(100);
  await leaveHalfDone(ring, parts);
  const hidden = ring.network.refuse("c");
  const { value, ballot } = await ring.run(parts["b"]!.strongReads.read(NAME));
  assert.equal(value?.version, 2);
  for (const id of ["a", "b"]) {
    assert.equal(
      (await ring.site(id).disk.catalog.register(NAME))?.value?.version,
      2,
      `it is committed at ${id}`,
    );
  }
  hidden();
  const again = await ring.run(parts["c"]!.strongReads.read(NAME));
  assert.equal(again.value?.version, 2, "no reader sees it appear and vanish");
  assert.deepEqual((await parts["b"]!.replica.read(NAME, 1)).accepted, ballot);
});

test("StrongReads.read brings a replica that missed a write up to date", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const hidden = ring.network.refuse("c");
  assert.equal(await write(parts["a"]!, ring), 1);
  hidden();
  // c's own, b's and a's: a and b agree, and c, which asked itself first, is behind.
  const { value } = await ring.run(parts["c"]!.strongReads.read(NAME));
  assert.equal(value?.version, 1);
  await ring.clock.advance(50);
  assert.equal((await ring.site("c").disk.catalog.register(NAME))?.value?.version, 1);
  assert.equal(ring.count("c", "atoll_read_repairs_total"), 1);
});

test("StrongReads.read gets past a nearest replica that hangs by asking the next one", async () => {
  const { ring, parts } = await openParts({
    ids: IDS,
    delayMs: ({ from, to }) => (from === "c" || to === "c" ? 20 : 2),
  });
  await write(parts["a"]!, ring);
  await ring.clock.advance(200);
  ring.network.hang("b");
  const begunMs = ring.clock.monotonicMs();
  const { value } = await ring.run(parts["a"]!.strongReads.read(NAME));
  assert.equal(value?.version, 1);
  assert.ok(ring.clock.monotonicMs() - begunMs < 100, `${ring.clock.monotonicMs() - begunMs} ms`);
});

test("StrongReads.read asks all five replicas before it calls a majority impossible", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c", "d", "e"], replicas: 5 });
  await write(parts["a"]!, ring);
  await ring.clock.advance(100);
  ring.network.refuse("b");
  ring.network.refuse("c");
  assert.equal((await ring.run(parts["a"]!.strongReads.read(NAME))).value?.version, 1);
});

test("StrongReads.read: a value that is known here already is not sent again", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c", "d"] });
  const name = ring.nameOn(["a", "b", "c"]);
  const { registers } = parts["a"]!;
  await ring.run(
    registers.change({ name, decide: () => ({ kind: "write", content: { kind: "tombstone" } }) }),
  );
  await ring.clock.advance(100);
  const { strongReads, memory } = parts["d"]!;
  const first = await ring.run(strongReads.read(name));
  memory.learn(name, { ...first });
  const sent = watch(ring, "read");
  const again = await ring.run(strongReads.read(name));
  assert.deepEqual(again.value, first.value);
  const replies = sent.flatMap(({ reply }) => reply?.type === "read" ? [reply] : []);
  assert.equal(replies.length, 2);
  for (const reply of replies) assert.equal(reply.value, undefined);
  for (const { request } of sent) assert.deepEqual(request.type === "read" && request.known, first.ballot);
});

test("StrongReads.read does not believe a peer that leaves out a value nobody here knows", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  await write(parts["a"]!, ring);
  await ring.clock.advance(100);
  ring.network.rule(({ reply }) =>
    reply?.type === "read" ? { reply: { type: "read", accepted: reply.accepted } } : undefined
  );
  await assert.rejects(ring.run(parts["a"]!.strongReads.read(NAME)), { code: "no-quorum" });
});

for (const how of ["refuse", "hang"] as const) {
  test(`StrongReads.read is no-quorum when a majority is gone (${how})`, async () => {
    const { ring, parts } = await openParts({ ids: IDS });
    ring.network[how]("b");
    ring.network[how]("c");
    const begunMs = ring.clock.monotonicMs();
    await assert.rejects(ring.run(parts["a"]!.strongReads.read(NAME)), { code: "no-quorum" });
    assert.ok(ring.clock.monotonicMs() - begunMs < (how === "refuse" ? 100 : 6_000));
  });
}

test("StrongReads.peek answers only where this node alone is the majority", async () => {
  const alone = await openParts({ ids: ["a"] });
  assert.equal(alone.parts["a"]!.strongReads.peek(NAME), undefined, "nothing remembered yet");
  await write(alone.parts["a"]!, alone.ring);
  assert.equal(alone.parts["a"]!.strongReads.peek(NAME)?.value?.version, 1);
  const three = await openParts({ ids: IDS });
  await write(three.parts["a"]!, three.ring);
  assert.equal(three.parts["a"]!.strongReads.peek(NAME), undefined);
});
