/** The command line as a process: what a shell sees of it. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { VERSION } from "../../src/cli/version.ts";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { command } from "../helpers/command-line.ts";
import { ask, put } from "../helpers/raw-http.ts";
import { HERE, runAtoll, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const directory = temporaryDirectory();
let node: AtollProcess;

before(async () => {
  node = await startNode({ runtime: HERE, dataDir: join(directory.path, "data") });
});
after(async () => {
  await node[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const DEADLINE_MS = 30_000;

for (const runtime of [HERE, THERE]) {
  test(`standard input, standard output and exit codes on ${runtime}`, async () => {
    const env = { ATOLL_URL: node.publicUrl };
    const input = randomBytes(300_000);
    const sent = await runAtoll(runtime, env, ["put", "-", `pipes/${runtime}`], {
      input,
      deadlineMs: DEADLINE_MS,
    });
    assert.deepEqual([sent.code, sent.stderr], [0, ""]);
    assert.match(sent.stdout, /^standard input -> pipes\//);
    assert.ok((await ask(`${node.publicUrl}/pipes/${runtime}`)).body.equals(input));
    // Standard input stays open, and the command ends all the same.
    const missing = await runAtoll(runtime, env, ["get", "pipes/none"], { input, deadlineMs: DEADLINE_MS });
    assert.equal(missing.code, 3);
    assert.match(missing.stderr, /^atoll: pipes\/none: .+\n$/);
    const version = await runAtoll(runtime, {}, ["--version"], { deadlineMs: DEADLINE_MS });
    assert.deepEqual(version, { code: 0, stdout: `${VERSION}\n`, stderr: "" });
  });
}

test("whoever reads the output may go away", async () => {
  await put(`${node.publicUrl}/pipes/large`, Buffer.alloc(8 << 20));
  const { code, stderr } = await runAtoll(HERE, { ATOLL_URL: node.publicUrl }, ["get", "pipes/large", "-"], {
    goesAway: true,
    deadlineMs: DEADLINE_MS,
  });
  assert.equal(stderr, "");
  assert.equal(code, 141);
});

test("words that make no sense are exit code 2 and one line; serve takes none", async () => {
  const isUsage = (
    words: readonly string[],
    run: { code: number | null; stdout: unknown; stderr: string },
  ) => {
    assert.equal(run.code, 2, `${words.join(" ")}: ${run.stderr}`);
    assert.equal(String(run.stdout), "");
    assert.match(run.stderr, /^atoll: .+\n$/, words.join(" "));
  };
  const asProcesses = [["frobnicate"], ["--frobnicate"], ["serve", "now"]];
  for (const words of asProcesses) {
    isUsage(words, await runAtoll(HERE, {}, words, { deadlineMs: DEADLINE_MS }));
  }
  const others = [
    ["put"],
    ["ls", "a-bucket", "more"],
    ["ring"],
    ["ring", "frob"],
    ["ls", "--url", "ftp://x"],
    ["ls", "--timeout=0"],
    ["get", "a-bucket/k", "-", "more"],
  ];
  for (const words of others) isUsage(words, await command(words));
});
