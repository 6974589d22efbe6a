/**
 * `npm run simulate -- --seeds N [--seed S] [--jobs J] [--seconds T]`: plays N runs from seed S on, J at a time in processes
 * of their own, for T seconds at most, and says how it went. The first violation ends it with the one line that plays it
 * again. `--hash` prints each run's hash instead; `--changing` leaves out the runs whose ring stays as it is, `--still` all
 * others, `--together` those in which no two disks lose anything: then N such runs are played, of however many seeds.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isChanging, losesTogether, play } from "./world.ts";

const PROGRESS_SECONDS = 60;
/** Looked at for one of a kind: of each kind there is about every other, or every fourth. */
const SEEDS_A_RUN_MAX = 8;

/** For Node: what lives long in a run is little, and the other core has a run of its own to play. */
const FLAGS = "Deno" in globalThis ? [] : ["--max-semi-space-size=64", "--single-threaded-gc"];

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "100" },
    seed: { type: "string" },
    jobs: { type: "string", default: "1" },
    seconds: { type: "string", default: "1000000" },
    changing: { type: "boolean", default: false },
    still: { type: "boolean", default: false },
    together: { type: "boolean", default: false },
    hash: { type: "boolean", default: false },
  },
});
const [count, jobs, limitSeconds] = [Number(values.seeds), Number(values.jobs), Number(values.seconds)];
const first = values.seed === undefined ? Math.floor(Math.random() * 1e9) : Number(values.seed);
if (
  ![count, jobs, first, limitSeconds].every((number) => Number.isSafeInteger(number) && number >= 0) ||
  jobs < 1
) {
  console.error("wanted --seeds N, --seed S, --jobs J and --seconds T as whole numbers");
  process.exit(2);
}
if (values.changing && (values.still || values.together)) {
  console.error("wanted --changing alone, got it with --still or --together, of which there is none");
  process.exit(2);
}

// Faults by the thousand are part of every run; where they come from is wanted of the one that is played again.
if (count > 1) Error.stackTraceLimit = 0;
const startedMs = performance.now();
let toldSeconds = 0;
if (jobs === 1) await playAll();
else await split();

async function playAll(): Promise<void> {
  const ends = new Map<string, number>();
  const troubles = new Map<string, number>();
  let [played, operations, longestQuietMs] = [0, 0, 0];
  for (let seed = first; played < count; seed++) {
    if (performance.now() - startedMs > 1_000 * limitSeconds) break;
    if (values.changing && !isChanging(seed) || values.still && isChanging(seed)) continue;
    if (values.together && !losesTogether(seed)) continue;
    try {
      const run = await play(seed);
      played++;
      operations += run.operations;
      longestQuietMs = Math.max(longestQuietMs, run.quietMs);
      for (const [end, often] of run.ends) ends.set(end, (ends.get(end) ?? 0) + often);
      for (const text of run.troubles) {
        const name = text.split(" ").slice(1, -1).join(" ");
        troubles.set(name, (troubles.get(name) ?? 0) + 1);
      }
      if (values.hash) console.log(`${seed} ${run.hash}`);
      tell(played);
    } catch (error) {
      console.log(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`);
      console.log(`npm run simulate -- --seeds 1 --seed ${seed}`);
      process.exitCode = 1;
      return;
    }
  }
  if (values.hash) return;
  const seconds = (performance.now() - startedMs) / 1000;
  console.log(
    `${played} runs from seed ${first}, 0 violations, ${operations} operations, at rest after at most ` +
      `${longestQuietMs / 1000} s; ${seconds.toFixed(1)} s, ${(played / seconds).toFixed(1)} runs a second`,
  );
  console.log(`operations: ${table(ends)}`);
  console.log(`troubles: ${table(troubles)}`);
}

/** On stderr, from time to time. */
function tell(played: number): void {
  const seconds = (performance.now() - startedMs) / 1000;
  if (seconds < toldSeconds + PROGRESS_SECONDS) return;
  toldSeconds = seconds;
  console.error(`${played} of ${count} runs from seed ${first}, ${(played / seconds).toFixed(2)} a second`);
}

/** Each process plays a stretch of its own. */
async function split(): Promise<void> {
  const per = Math.ceil(count / jobs);
  const children = Array.from({ length: jobs }, async (_, job) => {
    const seeds = Math.min(per, count - job * per);
    if (seeds <= 0) return 0;
    const stretch = values.changing || values.still || values.together ? SEEDS_A_RUN_MAX * per : per;
    const args = [
      "--seeds",
      String(seeds),
      "--seed",
      String(first + job * stretch),
      "--seconds",
      values.seconds,
    ];
    if (values.changing) args.push("--changing");
    if (values.still) args.push("--still");
    if (values.together) args.push("--together");
    const child = spawn(process.execPath, [...FLAGS, fileURLToPath(import.meta.url), ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    createInterface(child.stdout).on("line", (line) => console.log(line));
    const [code] = await once(child, "close") as [number | null];
    return code ?? 1;
  });
  const codes = await Promise.all(children);
  process.exitCode = Math.max(...codes);
  console.log(`all ended after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
}

function table(counts: ReadonlyMap<string, number>): string {
  return [...counts].sort(([, a], [, b]) => b - a).map(([name, often]) => `${name} ${often}`).join(", ");
}
