/**
 * What a wiped replica is told was accepted must not count as its vote while the promise that its old disk gave may
 * still be used to commit something else.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ballot } from "../../../src/core/ballot.ts";
import { EMPTY_ACCEPTOR, type RegisterValue, successor } from "../../../src/core/register.ts";
import type { PeerRequest } from "../../../src/ports.ts";
import { MemoryRing } from "../../helpers/memory-ring.ts";

const OLD: Ballot = { counter: 1, node: "x" };
const NEWER: Ballot = { counter: 2, node: "y" };

function tombstone(changeId: string): RegisterValue {
  return successor(EMPTY_ACCEPTOR.value, { changeId, content: { kind: "tombstone" }, nowMs: 1 });
}

test("a value that only one replica accepted is accepted anew before a wiped one vouches for it", async () => {
  const ring = await MemoryRing.open({ ids: ["a", "b", "c"] });
  const name = ring.nameOn(["a", "b", "c"]);
  const ask = (id: string, request: PeerRequest) => ring.node(id).handlePeer({ node: "y" }, request);

  // One change got as far as one replica; then another proposer found a majority that knew nothing of it.
  await ring.run(ask("c", { type: "prepare", name, ballot: OLD }));
  await ring.run(ask("c", { type: "accept", name, ballot: OLD, value: tombstone("only at c") }));
  for (const id of ["a", "b"]) {
    assert.partialDeepStrictEqual(await ring.run(ask(id, { type: "prepare", name, ballot: NEWER })), {
      reply: { kind: "promised", value: null },
    });
  }

  ring.wipe("a");
  await ring.start("a");
  await ring.clock.until(
    "the wiped node has resynced",
    () => ring.count("a", "atoll_recovery_partitions_left") === 0 && ring.node("a").layout() !== undefined,
    120_000,
  );

  // A reader sees the first change, at the wiped replica and the one that had it.
  const undo = ring.network.refuse("b");
  const seen = await ring.run(ring.node("a").objects.locate(name, { noCache: true, onlyIfCached: false }));
  assert.deepEqual(seen, { kind: "absent", version: 1 });
  undo();
  // Then the second proposer, who knows nothing of it, must not get past it any more.
  const replies = await Promise.all(
    ["a", "b", "c"].map((id) =>
      ring.run(ask(id, { type: "accept", name, ballot: NEWER, value: tombstone("past it") }))
    ),
  );
  const accepted = replies.filter((reply) => reply.type === "accept" && reply.reply.kind === "accepted");
  assert.deepEqual(accepted, []);
  ring.close();
});
