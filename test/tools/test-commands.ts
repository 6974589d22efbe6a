/** How each runtime's own runner is asked to run the tests; the files are the same for both. */

export type Runtime = "node" | "deno";

/**
 * Test files of cluster and adapters start processes of their own: more at once than cores would only be slower. Deno
 * takes as many as there are cores.
 */
const FILES_AT_ONCE = 2;
/** A test that hangs fails by its own deadlines; this one is for tests that forgot. */
const HANG_MS = 300_000;
/** By itself: no request may fail at its five nodes, which another file beside it can make slower than their deadlines. */
const ALONE = "ring-changes";

/** One after the other; no files: all. */
export function testCommands(runtime: Runtime, files: readonly string[] = []): string[][] {
  const command = runtime === "node"
    ? ["node", "--test", `--test-concurrency=${FILES_AT_ONCE}`, `--test-timeout=${HANG_MS}`]
    : ["deno", "test", "-A", "--no-check", "--parallel"];
  if (files.length > 0) return [[...command, ...files]];
  const alone = `test/cluster/${ALONE}.test.ts`;
  const others = runtime === "node" ? [`test/**/!(${ALONE}).test.ts`] : [`--ignore=${alone}`, "test"];
  return [[...command, ...others], [...command, alone]];
}
