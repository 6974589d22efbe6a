/** Registers.change and settle at a majority: who is needed, what is promised when they are not there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_BALLOT } from "../../src/core/ballot.ts";
import type { RegisterValue } from "../../src/core/register.ts";
import { isAtollError } from "../../src/errors.ts";
import type { ChangeRequest } from "../../src/node/register-attempt.ts";
import { WRITE_DEADLINE_MS } from "../../src/node/registers.ts";
import type { PeerRequest } from "../../src/ports.ts";
import { HASHING, type MemoryRing } from "../helpers/memory-ring.ts";
import { bytesOf } from "../helpers/uploads.ts";
import { openParts, type Parts } from "../helpers/memory-ring-parts.ts";

const IDS = ["a", "b", "c"];
const NAME = "bucket\0key";
/** What a call that hangs takes, and a little. */
const HANG_MS = 2_600;

/** Puts a tombstone in place of whatever is there: the plainest change. */
function overwrite(name = NAME): ChangeRequest {
  return { name, decide: () => ({ kind: "write", content: { kind: "tombstone" } }) };
}

function createOnly(seen: (RegisterValue | null)[] = []): ChangeRequest {
  return {
    name: NAME,
    decide: (current) => {
      seen.push(current);
      return current ? { kind: "stop" } : { kind: "write", content: { kind: "tombstone" } };
    },
  };
}

async function valuesAt(ring: MemoryRing, ids: readonly string[]): Promise<(number | undefined)[]> {
  return await Promise.all(
    ids.map(async (id) => (await ring.site(id).disk.catalog.register(NAME))?.value?.version),
  );
}

/** A rule that loses one kind of request to some nodes. */
function lose(ring: MemoryRing, type: PeerRequest["type"], to: readonly string[]): () => void {
  return ring.network.rule((message) =>
    message.request.type === type && to.includes(message.to) && !message.reply ? { lost: true } : undefined
  );
}

async function writeAt({ registers }: Parts, ring: MemoryRing) {
  const outcome = await ring.run(registers.change(overwrite()), "the change");
  assert.equal(outcome.kind, "changed");
  return outcome.kind === "changed" ? outcome : assert.fail();
}

test("Registers.change is durable at a majority when it resolves, and soon everywhere", async () => {
  const { ring, parts } = await openParts({ ids: IDS, diskMs: () => 2 });
  const { version } = await writeAt(parts["a"]!, ring);
  const now = await valuesAt(ring, IDS);
  assert.equal(version, 1);
  assert.ok(now.filter((value) => value === 1).length >= 2, `at once: ${now}`);
  await ring.clock.advance(100);
  assert.deepEqual(await valuesAt(ring, IDS), [1, 1, 1]);
});

for (const [how, break_] of [["dead", "refuse"], ["hanging", "hang"]] as const) {
  test(`Registers.change goes through with one of three replicas ${how}`, async () => {
    const { ring, parts } = await openParts({ ids: IDS });
    ring.network[break_]("c");
    const begunMs = ring.clock.monotonicMs();
    const { version } = await writeAt(parts["a"]!, ring);
    assert.equal(version, 1);
    assert.ok(ring.clock.monotonicMs() - begunMs < 100, "nobody waits for it");
  });
}

test("Registers.change from a node that is no replica goes through", async () => {
  const { ring, parts } = await openParts({ ids: ["a", "b", "c", "d"] });
  const name = ring.nameOn(["a", "b", "c"]);
  const outcome = await ring.run(parts["d"]!.registers.change(overwrite(name)));
  assert.equal(outcome.kind, "changed");
  assert.equal(await ring.site("d").disk.catalog.register(name), undefined);
});

test("Registers.change is no-quorum at once when a majority refuses connections, and was not applied", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const heal = [ring.network.refuse("b"), ring.network.refuse("c")];
  const begunMs = ring.clock.monotonicMs();
  await assert.rejects(ring.run(parts["a"]!.registers.change(overwrite())), { code: "no-quorum" });
  assert.ok(ring.clock.monotonicMs() - begunMs < 50);
  for (const undo of heal) undo();
  const settled = await ring.run(parts["b"]!.registers.settle(NAME, NO_BALLOT));
  assert.equal(settled.value, null);
});

test("Registers.change is no-quorum within the deadline when a majority hangs", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  ring.network.hang("b");
  ring.network.hang("c");
  const begunMs = ring.clock.monotonicMs();
  await assert.rejects(ring.run(parts["a"]!.registers.change(overwrite())), { code: "no-quorum" });
  assert.ok(ring.clock.monotonicMs() - begunMs < WRITE_DEADLINE_MS);
});

test("Registers.change whose accepts lose their majority is outcome-unknown, never no-quorum", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const begunMs = ring.clock.monotonicMs();
  const change = parts["a"]!.registers.change(overwrite());
  ring.network.rule(({ request }) => request.type === "accept" ? { lost: true } : undefined);
  await assert.rejects(ring.run(change), { code: "outcome-unknown" });
  assert.ok(ring.clock.monotonicMs() - begunMs < WRITE_DEADLINE_MS + 2 * HANG_MS);
});

test("Registers.change whose accepts were refused a connection is outcome-unknown too: one may have arrived", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const change = parts["a"]!.registers.change(overwrite());
  ring.network.rule(({ request, to }) =>
    request.type === "accept" ||
      (request.type === "prepare" && to !== "a" && ring.clock.monotonicMs() > 1_510)
      ? { refused: true }
      : undefined
  );
  await assert.rejects(ring.run(change), { code: "outcome-unknown" });
});

test("Registers.change comes to an end when one replica is suspect and another has promised a later ballot", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const { gate, registers } = parts["a"]!;
  const heal = ring.network.refuse("c");
  await assert.rejects(ring.run(gate.call("c", { type: "layout" }, { timeoutMs: 100 })), {
    code: "peer-unreachable",
  });
  heal();
  // Another writer came first at b: a's next ballot is refused there, and only c can make up a majority.
  await ring.run(parts["b"]!.replica.prepare(NAME, { counter: 7, node: "b" }, 1));
  const outcome = await ring.run(registers.change(overwrite()), "the change", WRITE_DEADLINE_MS + HANG_MS);
  assert.equal(outcome.kind, "changed");
});

test("Registers.change goes on when accepts are refused while a replica is suspect", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const { gate, registers } = parts["a"]!;
  ring.network.refuse("c");
  await assert.rejects(ring.run(gate.call("c", { type: "layout" }, { timeoutMs: 100 })), {
    code: "peer-unreachable",
  });
  const change = registers.change(overwrite());
  let later = true;
  ring.network.rule(({ request, to, reply }) => {
    if (later && request.type === "accept" && to === "b" && !reply) {
      later = false;
      void parts["b"]!.replica.prepare(NAME, { counter: 9, node: "b" }, 1);
    }
    return undefined;
  });
  assert.equal((await ring.run(change, "the change", WRITE_DEADLINE_MS + HANG_MS)).kind, "changed");
});

test("Registers: a value accepted by a minority is finished by whoever meets it", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const heal = lose(ring, "accept", ["b", "c"]);
  await assert.rejects(ring.run(parts["a"]!.registers.change(overwrite())), { code: "outcome-unknown" });
  heal();
  assert.deepEqual(await valuesAt(ring, IDS), [1, undefined, undefined]);
  const hidden = ring.network.refuse("c");
  const settled = await ring.run(parts["b"]!.registers.settle(NAME, NO_BALLOT));
  hidden();
  assert.equal(settled.value?.version, 1, "a and b are a majority, and a has it");
  assert.deepEqual(
    (await valuesAt(ring, IDS)).slice(0, 2),
    [1, 1],
    "it is committed before anybody hears of it",
  );
});

test("Registers: a value accepted by a minority that nobody met is overtaken, and never comes back", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const heal = lose(ring, "accept", ["b", "c"]);
  const lost = parts["a"]!.registers.change(overwrite());
  await assert.rejects(ring.run(lost), { code: "outcome-unknown" });
  heal();
  const lostValue = (await parts["a"]!.replica.read(NAME, 1)).value;
  const hidden = ring.network.refuse("a");
  const { value } = await writeAt(parts["b"]!, ring);
  hidden();
  assert.deepEqual([value.version, value.ancestors], [1, []], "it built upon nothing");
  for (const id of IDS) {
    const settled = await ring.run(parts[id]!.registers.settle(NAME, NO_BALLOT));
    assert.equal(settled.value?.changeId, value.changeId);
    assert.notEqual(settled.value?.changeId, lostValue?.changeId);
  }
});

test("Registers: of two nodes that race to create, exactly one wins, whatever the schedule", async () => {
  const seed = Number(process.env["ATOLL_TEST_SEED"] ?? Math.floor(Math.random() * 1e9));
  const { ring, parts } = await openParts({ ids: IDS, seed, diskMs: (random) => 3 * random.fraction() });
  ring.network.rule(({ to, reply }) => ({
    lost: !reply && to === "c" && ring.random.chance(0.3),
    copies: ring.random.chance(0.2) ? 2 : 1,
    delayMs: 1 + 10 * ring.random.fraction(),
  }));
  let duels = 0;
  for (let n = 0; n < 300; n++) {
    const name = `bucket\0raced for ${n}`;
    const seen: (RegisterValue | null)[] = [];
    const outcomes = await ring.run(
      Promise.all(
        ["a", "b"].map((id) =>
          parts[id]!.registers.change({ ...createOnly(seen), name }).catch((error: unknown) => {
            // Out of luck until its deadline, once in a hundred thousand: then it has surely done nothing.
            if (isAtollError(error, "no-quorum")) {
              return undefined;
            }
            throw error;
          })
        ),
      ),
    );
    const label = `ATOLL_TEST_SEED=${seed}, ${n}`;
    assert.equal(outcomes.filter((outcome) => outcome?.kind === "changed").length, 1, label);
    for (const outcome of outcomes) if (outcome) assert.equal(outcome.value?.version, 1, label);
    if (seen.filter((value) => value === null).length > 1) duels++;
  }
  assert.ok(duels > 20, `only ${duels} of 300 schedules let both propose`);
});

test("Registers.change that another proposer carried on counts once, at its own version", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const heal = lose(ring, "accept", ["b", "c"]);
  const change = parts["a"]!.registers.change(overwrite());
  await ring.clock.until("a accepted its own value", () => parts["a"]!.replica.peek(NAME)?.value !== null);
  heal();
  // b meets a's value, carries it on, and builds upon it, before a tries again.
  const hidden = ring.network.rule(({ from, to }) =>
    from === "b" && to === "c" ? { refused: true } : undefined
  );
  const theirs = await ring.run(parts["b"]!.registers.change(overwrite()));
  hidden();
  const ours = await ring.run(change);
  assert.ok(theirs.kind === "changed" && ours.kind === "changed");
  assert.deepEqual([ours.version, theirs.version], [1, 2]);
  const { value } = await ring.run(parts["c"]!.registers.settle(NAME, NO_BALLOT));
  assert.equal(value?.version, 2, "nothing was done twice");
});

test("Registers.change has a small chunk on a majority's disks before anything is proposed", async () => {
  const { ring, parts } = await openParts({ ids: IDS, diskMs: () => 5 });
  const bytes = bytesOf("small");
  const id = HASHING.sha256(bytes);
  ring.network.hang("c");
  let looked = 0;
  ring.network.rule(({ request }) => {
    if (request.type === "accept") {
      looked++;
      const copies = IDS.filter((node) => parts[node]!.chunks.isKnown(id));
      assert.ok(copies.length >= 2, `proposed with copies at ${copies}`);
    }
    return undefined;
  });
  await ring.run(parts["a"]!.registers.change({ ...overwrite(), chunk: { id, bytes } }));
  assert.ok(looked > 0);
  for (const node of ["a", "b"]) {
    assert.deepEqual(await ring.site(node).disk.catalog.chunk(id), bytes);
  }
});

test("Registers.change does not count a promise whose chunk came out different", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const bytes = bytesOf("small");
  ring.network.rule(({ request, reply }) =>
    request.type === "prepare" && reply?.type === "prepare"
      ? { reply: { ...reply, stored: "0".repeat(64) } }
      : undefined
  );
  const change = parts["a"]!.registers.change({
    ...overwrite(),
    chunk: { id: HASHING.sha256(bytes), bytes },
  });
  await assert.rejects(ring.run(change), { code: "no-quorum" });
  assert.deepEqual(await valuesAt(ring, IDS), [undefined, undefined, undefined], "nothing was proposed");
});

test("Registers.change goes through with one full disk, and is storage-full with two", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  ring.site("b").disk.isFull = true;
  await writeAt(parts["a"]!, ring);
  ring.site("c").disk.isFull = true;
  await assert.rejects(ring.run(parts["a"]!.registers.change(overwrite())), { code: "storage-full" });
  ring.site("b").disk.isFull = false;
  const { version } = await writeAt(parts["a"]!, ring);
  assert.equal(version, 2, "what was refused was not applied");
});

test("Registers.change that stops is told what is committed, and writes nothing new", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const { value } = await writeAt(parts["a"]!, ring);
  await ring.clock.advance(100);
  const stopped = await ring.run(parts["b"]!.registers.change(createOnly()));
  assert.deepEqual(stopped, { kind: "stopped", value });
});

test("Registers.change of one name at one node wait for each other, and each counts", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const changes = Array.from({ length: 20 }, () => parts["a"]!.registers.change(overwrite()));
  const outcomes = await ring.run(Promise.all(changes));
  assert.deepEqual(
    outcomes.map((outcome) => outcome.kind === "changed" && outcome.version),
    Array.from({ length: 20 }, (_, n) => n + 1),
  );
});

test("Registers.change that waited too long for its turn is no-quorum, and was not tried", async () => {
  const { ring, parts } = await openParts({ ids: IDS });
  const heal = lose(ring, "accept", IDS);
  const first = parts["a"]!.registers.change(overwrite());
  const asked: (RegisterValue | null)[] = [];
  const [begun, waited] = await ring.run(
    Promise.allSettled([first, parts["a"]!.registers.change(createOnly(asked))]),
  );
  heal();
  assert.equal(codeOf(begun), "outcome-unknown");
  assert.equal(codeOf(waited), "no-quorum");
  assert.deepEqual(asked, []);
});

function codeOf(settled: PromiseSettledResult<unknown>): string | undefined {
  return settled.status === "rejected" && isAtollError(settled.reason) ? settled.reason.code : undefined;
}

test("Registers.change on a ring of one is one commit", async () => {
  const { ring, parts } = await openParts({ ids: ["a"] });
  const before = ring.site("a").disk.commits;
  const { version } = await writeAt(parts["a"]!, ring);
  assert.deepEqual([version, ring.site("a").disk.commits - before], [1, 1]);
});
