/** How each runtime's own runner is asked to run the tests; the files are the same for both. */

export type Runtime = "node" | "deno";

/** Test files of cluster and adapters start processes of their own: more at once than cores would only be slower. */
const FILES_AT_ONCE = 2;
/** A test that hangs fails by its own deadlines; this one is for tests that forgot. */
const HANG_MS = 300_000;

export function testCommand(runtime: Runtime, files: readonly string[]): string[] {
  return runtime === "node"
    ? [
      "node",
      "--test",
      `--test-concurrency=${FILES_AT_ONCE}`,
      `--test-timeout=${HANG_MS}`,
      ...(files.length > 0 ? files : ["test/**/*.test.ts"]),
    ]
    : ["deno", "test", "-A", "--no-check", ...(files.length > 0 ? files : ["test"])];
}
