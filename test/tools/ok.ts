/**
 * Everything a change must pass, one line a step: format, lint, types on both runtimes, dead code, tests on both.
 * The first failure stops it, with what the step had to say. `--no-tests` leaves the tests out.
 */
import { run } from "./project.ts";
import { testCommands } from "./test-commands.ts";

interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** Tests speak for themselves: their runner's lines pass through as they come. */
  readonly show?: boolean;
}

const checks: readonly Step[] = [
  { name: "format", command: ["deno", "fmt", "--check"] },
  { name: "lint", command: ["oxlint"] },
  { name: "types (tsc)", command: ["tsc", "-p", "."] },
  { name: "types (deno check)", command: ["deno", "check", "src", "test"] },
  { name: "dead code (knip)", command: ["knip"] },
];

const tests: readonly Step[] = [
  ...testCommands("node").map((command) => ({ name: "tests on Node", command, show: true })),
  ...testCommands("deno").map((command) => ({ name: "tests on Deno", command, show: true })),
];

async function passes(step: Step): Promise<boolean> {
  const startedMs = performance.now();
  if (step.show) console.log(`     ${step.name}: ${step.command.join(" ")}`);
  const { code, output } = await run(step.command, { show: step.show ?? false });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  if (code === 0) {
    console.log(`ok   ${step.name} ${seconds} s`);
    return true;
  }
  if (output !== "") console.log(output.trimEnd());
  console.log(`FAIL ${step.name} ${seconds} s: ${step.command.join(" ")} ended with ${code ?? "a signal"}`);
  return false;
}

const steps = process.argv.includes("--no-tests") ? checks : [...checks, ...tests];
for (const step of steps) {
  if (!await passes(step)) {
    process.exitCode = 1;
    break;
  }
}
if (process.exitCode === undefined) console.log(`ok   all ${steps.length} steps`);
