/** `node test/tools/run-tests.ts node|deno [file…]`: every test, or those files, on one runtime, as its runner prints it. */
import { run } from "./project.ts";
import { testCommands } from "./test-commands.ts";

const [runtime, ...files] = process.argv.slice(2);
if (runtime !== "node" && runtime !== "deno") {
  console.error(`wanted node or deno, got ${runtime ?? "nothing"}`);
  process.exit(2);
}
for (const command of testCommands(runtime, files)) {
  const { code } = await run(command, { show: true });
  if (code !== 0) process.exitCode = code ?? 1;
}
