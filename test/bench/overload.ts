/**
 * `npm run bench:overload -- [--runtime node|deno] [--seconds N] [--times N] [--bytes N] [--lateness TIME]`: the best rate of
 * uploads that a node does, and what it does of as many times more, which come whether earlier ones were answered or not. Of
 * its best rate at least 80 % is to be left, and whoever is turned away is to be told quickly.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Runtime, startNode } from "../helpers/atoll-process.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const SHARE_MIN = 0.8;
const BEST_CONNECTIONS = 64;
const CONNECTIONS_MAX = 3_000;
const TICK_MS = 5;
const BATCH = 100;

const { values } = parseArgs({
  options: {
    runtime: { type: "string" },
    seconds: { type: "string", default: "6" },
    times: { type: "string", default: "3" },
    bytes: { type: "string", default: "1024" },
    /** As `ATOLL_MAX_LATENESS`; 0s: nobody is turned away for lateness. */
    lateness: { type: "string", default: "100ms" },
  },
});
const [seconds, times] = [Number(values.seconds), Number(values.times)];
const body = "x".repeat(Number(values.bytes));
const runtimes: readonly Runtime[] = values.runtime === undefined
  ? ["node", "deno"]
  : [values.runtime as Runtime];

interface Tally {
  done: number;
  refused: number;
  readonly refusedMs: number[];
  readonly doneMs: number[];
}

async function measure(runtime: Runtime): Promise<void> {
  using directory = temporaryDirectory();
  await using node = await startNode({
    runtime,
    dataDir: directory.path,
    env: { ATOLL_MAX_LATENESS: values.lateness },
  });
  const lines = await open(node.publicUrl, CONNECTIONS_MAX);
  await closedLoop(lines.slice(0, BEST_CONNECTIONS), 2_000);
  const best = await closedLoop(lines.slice(0, BEST_CONNECTIONS), 1_000 * seconds);
  const bestRate = best.done / seconds;
  const over = await openLoop(lines, bestRate * times, 1_000 * seconds);
  const rate = over.done / seconds;
  const share = rate / bestRate;
  console.log(
    `${runtime}: best ${bestRate.toFixed(0)} uploads a second; offered ${
      (over.offered / seconds).toFixed(0)
    } ` +
      `(${over.unsent} more found no free connection), done ${rate.toFixed(0)} (${
        (100 * share).toFixed(0)
      } %, ` +
      `p50 ${at(over.doneMs, 0.5)} ms, p99 ${at(over.doneMs, 0.99)} ms), turned away ${
        (over.refused / seconds).toFixed(0)
      } ` +
      `(p50 ${at(over.refusedMs, 0.5)} ms, p99 ${at(over.refusedMs, 0.99)} ms)`,
  );
  for (const line of lines) line.socket.destroy();
  if (share < SHARE_MIN) {
    console.error(`wanted ${100 * SHARE_MIN} % of the best rate, got ${(100 * share).toFixed(0)} %`);
    process.exitCode = 1;
  }
}

/** A connection with at most one request under way. */
class Line {
  readonly socket: Socket;
  #answered: ((status: number) => void) | undefined;
  #text = "";

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => this.#take(text));
  }

  get isFree(): boolean {
    return this.#answered === undefined && !this.socket.destroyed;
  }

  /** The answer's status. */
  put(key: string): Promise<number> {
    this.socket.write(
      `PUT /load/${key} HTTP/1.1\r\nHost: bench\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    return new Promise((resolve) => (this.#answered = resolve));
  }

  #take(text: string): void {
    this.#text += text;
    const end = this.#text.indexOf("\r\n\r\n");
    if (end === -1) return;
    const length = Number(/content-length: (\d+)/i.exec(this.#text)?.[1] ?? 0);
    if (this.#text.length < end + 4 + length) return;
    const status = Number(this.#text.slice(9, 12));
    this.#text = "";
    const answered = this.#answered;
    this.#answered = undefined;
    answered?.(status);
  }
}

async function open(publicUrl: string, count: number): Promise<Line[]> {
  const { hostname, port } = new URL(publicUrl);
  const lines: Line[] = [];
  while (lines.length < count) {
    await Promise.all(Array.from({ length: BATCH }, async () => {
      const socket = connect(Number(port), hostname);
      socket.on("error", () => {}); // one that is cut is not used any more
      await once(socket, "connect");
      lines.push(new Line(socket));
    }));
  }
  return lines;
}

let keys = 0;

async function one(line: Line, tally: Tally): Promise<void> {
  const begunMs = performance.now();
  const status = await line.put(`k${keys++}`);
  const tookMs = performance.now() - begunMs;
  if (status === 201 || status === 200) {
    tally.done++;
    tally.doneMs.push(tookMs);
  } else {
    tally.refused++;
    tally.refusedMs.push(tookMs);
  }
}

const nothing = (): Tally => ({ done: 0, refused: 0, refusedMs: [], doneMs: [] });

async function closedLoop(lines: readonly Line[], forMs: number): Promise<Tally> {
  const tally = nothing();
  const untilMs = performance.now() + forMs;
  await Promise.all(lines.map(async (line) => {
    while (performance.now() < untilMs) await one(line, tally);
  }));
  return tally;
}

/** What is answered after the time is over counts for nothing. */
async function openLoop(lines: readonly Line[], perSecond: number, forMs: number) {
  const tally = nothing();
  const free = [...lines];
  let [offered, unsent] = [0, 0];
  const begunMs = performance.now();
  for (let nowMs = begunMs; nowMs < begunMs + forMs; nowMs = performance.now()) {
    for (const due = (nowMs - begunMs) * perSecond / 1_000; offered + unsent < due;) {
      const line = free.pop();
      if (!line) {
        unsent++;
        continue;
      }
      offered++;
      void one(line, tally).then(() => free.push(line));
    }
    await delay(TICK_MS);
  }
  return { ...tally, offered, unsent };
}

function at(times: number[], share: number): string {
  times.sort((a, b) => a - b);
  return (times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? NaN).toFixed(0);
}

for (const runtime of runtimes) await measure(runtime);
