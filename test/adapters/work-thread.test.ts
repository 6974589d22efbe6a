/** WorkThread: whoever asks is answered, whatever becomes of the thread. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crossed, crossing, WorkThread } from "../../src/adapters/work-thread.ts";
import { isAtollError } from "../../src/errors.ts";
import { startChild } from "./children/child.ts";
import { WORKER, type WorkQuestion } from "./children/work-doer.ts";

const opened = () => new WorkThread<WorkQuestion, unknown>(WORKER);

test("WorkThread gives each who asked the answer to the question", async () => {
  const thread = opened();
  const answers = await Promise.all([1, 2, 3].map((value) => thread.ask({ type: "echo", value })));
  assert.deepEqual(answers, [1, 2, 3]);
});

test("WorkThread passes on a fault by its code, and any other error as internal", async () => {
  const thread = opened();
  await assert.rejects(thread.ask({ type: "fault" }), (error) => isAtollError(error, "storage-full"));
  await assert.rejects(thread.ask({ type: "bug" }), (error) => isAtollError(error, "internal"));
  assert.equal(await thread.ask({ type: "echo", value: 1 }), 1);
});

test("WorkThread that dies rejects what waits, and starts again when asked", async () => {
  const thread = opened();
  const waiting = thread.ask({ type: "never" });
  await assert.rejects(thread.ask({ type: "die" }), (error) => isAtollError(error, "internal"));
  await assert.rejects(waiting, (error) => isAtollError(error, "internal"));
  assert.equal(await thread.ask({ type: "echo", value: "again" }), "again");
});

test("WorkThread holds the process while it is asked something, and no longer", async () => {
  await using child = startChild("work-doer.ts");
  assert.equal(await child.ended(), 0);
  assert.deepEqual(child.lines(), ["answered"]);
});

test("bytes cross by the memory that is shared, or as a copy of their own", () => {
  for (const buffer of [new SharedArrayBuffer(8), new ArrayBuffer(8)]) {
    const bytes = new Uint8Array(buffer, 2, 3);
    bytes.set([1, 2, 3]);
    const there = crossed(crossing(bytes).bytes);
    assert.deepEqual([...there], [1, 2, 3]);
    bytes[0] = 9;
    assert.equal(there[0], buffer instanceof SharedArrayBuffer ? 9 : 1);
  }
});
