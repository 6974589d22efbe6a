/**
 * `npm run bench:overload -- [--runtime node|deno] [--seconds N] [--times N] [--bytes N] [--clients N] [--lateness TIME]`: the
 * best rate of uploads that a node does, and what it does of as many times more, once of clients that come back no sooner
 * than they were told to, once of some that do not care. Of its best rate at least 80 % is to be left, and whoever is turned
 * away is to be told quickly. Who used the processors stands beside it: the clients must not be what is measured.
 */
import { readFileSync } from "node:fs";
import { setPriority } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type AtollProcess, type Runtime, startNode } from "../helpers/atoll-process.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";
import { Clients, type Offered } from "./overload-clients.ts";

const SHARE_MIN = 0.8;
/** With so many at a time; the best of them counts. */
const BEST_CONNECTIONS = [64, 256];
const WARM_UP_MS = 2_000;
const SETTLE_MS = 1_500;
/** Of /proc: the kernel counts in hundredths. */
const TICKS_PER_SECOND = 100;

const { values } = parseArgs({
  options: {
    runtime: { type: "string" },
    seconds: { type: "string", default: "6" },
    times: { type: "string", default: "3" },
    bytes: { type: "string", default: "1024" },
    clients: { type: "string", default: "3000" },
    /** As `ATOLL_MAX_LATENESS`; by default the node's own default. */
    lateness: { type: "string" },
    flags: { type: "string", default: "" },
  },
});
const [seconds, times] = [Number(values.seconds), Number(values.times)];
const runtimes: readonly Runtime[] = values.runtime === undefined
  ? ["node", "deno"]
  : [values.runtime as Runtime];

async function measure(runtime: Runtime): Promise<void> {
  using directory = temporaryDirectory();
  await using node = await startNode({
    runtime,
    dataDir: directory.path,
    env: values.lateness === undefined ? {} : { ATOLL_MAX_LATENESS: values.lateness },
    flags: values.flags === "" ? [] : values.flags.split(" "),
  });
  // Real clients do not run on the node's processors: these give way to it.
  setPriority(10);
  const clients = await Clients.open(node.publicUrl, Number(values.clients), Number(values.bytes));
  await clients.closedLoop(BEST_CONNECTIONS[0]!, WARM_UP_MS);
  const usage = new Usage(node);
  let bestRate = 0;
  for (const count of BEST_CONNECTIONS) {
    const { done, doneMs } = await clients.closedLoop(count, 1_000 * seconds);
    bestRate = Math.max(bestRate, done / seconds);
    console.log(
      `${runtime}: ${(done / seconds).toFixed(0)} uploads a second of ${count} clients at a time ` +
        `(p50 ${at(doneMs, 0.5)} ms, p99 ${at(doneMs, 0.99)} ms); ${usage.since()}`,
    );
  }
  for (const honest of [true, false]) {
    await delay(SETTLE_MS);
    usage.since();
    const over = await clients.openLoop(bestRate * times, 1_000 * seconds, honest);
    tell(honest ? "clients that wait as told" : "clients that do not wait", over, bestRate, usage.since());
  }
  clients.close();
  await node.kill("SIGTERM");
}

function tell(name: string, over: Offered, bestRate: number, used: string): void {
  const perSecond = (count: number): string => (count / seconds).toFixed(0);
  const share = over.done / seconds / bestRate;
  console.log(
    `  ${name}: offered ${perSecond(over.offered)} a second (${
      perSecond(over.heldBack)
    } more had no client), ` +
      `done ${perSecond(over.done)} (${(100 * share).toFixed(0)} %, p50 ${at(over.doneMs, 0.5)} ms, ` +
      `p99 ${at(over.doneMs, 0.99)} ms), turned away ${perSecond(over.refused)} (p50 ${
        at(over.refusedMs, 0.5)
      } ms, ` +
      `p99 ${at(over.refusedMs, 0.99)} ms), failed ${
        perSecond(over.failed)
      }, open at the end ${over.open}; ${used}`,
  );
  if (share >= SHARE_MIN) return;
  console.error(
    `${name}: wanted ${100 * SHARE_MIN} % of the best rate, got ${(100 * share).toFixed(0)} %`,
  );
  process.exitCode = 1;
}

/** Shares of one processor, of the node and of the clients. */
class Usage {
  readonly #pid: number;
  #before: { atMs: number; node: number; main: number; clients: number };

  constructor(node: AtollProcess) {
    this.#pid = node.pid;
    this.#before = this.#now();
  }

  since(): string {
    const [before, now] = [this.#before, this.#now()];
    this.#before = now;
    const share = (which: "node" | "main" | "clients") =>
      `${(100 * (now[which] - before[which]) / ((now.atMs - before.atMs) / 1_000)).toFixed(0)} %`;
    return `processor: node ${share("node")}, of that its first thread ${share("main")}, clients ${
      share("clients")
    }`;
  }

  #now() {
    return {
      atMs: performance.now(),
      node: secondsOf(`/proc/${this.#pid}/stat`),
      main: secondsOf(`/proc/${this.#pid}/task/${this.#pid}/stat`),
      clients: secondsOf("/proc/self/stat"),
    };
  }
}

/** proc(5): user and system time; the name before may hold spaces. */
function secondsOf(path: string): number {
  const text = readFileSync(path, "latin1");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function at(times: number[], share: number): string {
  times.sort((a, b) => a - b);
  return (times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? NaN).toFixed(0);
}

for (const runtime of runtimes) await measure(runtime);
