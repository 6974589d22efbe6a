/**
 * `npm run bench:access`: what asking for credentials costs the hottest read, 1 KiB from memory. The same node without keys
 * and with them, by Bearer, Basic and a presigned URL. `--rounds N --seconds N --runtime node|deno`. Many short rounds, each in an
 * order of its own, and medians of what each comes to in its round: a machine is faster at one time than at another by more
 * than credentials cost.
 *
 * Beside the rate stands the node's own time of a request. That is what credentials cost; the rate also tells of wrk,
 * which shares the cores.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startNode } from "../helpers/atoll-process.ts";
import { basic, bearer, KEYS, presigned } from "../helpers/credentials.ts";
import { workedMsOf } from "../helpers/process-time.ts";
import { put } from "../helpers/raw-http.ts";
import type { Runtime } from "../tools/test-commands.ts";
import { median } from "./medians.ts";
import { wrk } from "./wrk.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "15" },
    seconds: { type: "string", default: "1" },
    runtime: { type: "string", default: "node" },
  },
});
const CONNECTIONS = 64;
const PATH = "/docs/hot";
const PUBLIC_PATH = "/open/hot";
const BASE = "no keys";

interface Sample {
  /** Requests a second. */
  readonly rate: number;
  /** The node's work for a request, of all its threads. */
  readonly us: number;
}

function shuffled<T>(all: readonly T[]): T[] {
  return all.map((one) => ({ one, place: Math.random() })).sort((a, b) => a.place - b.place).map(({ one }) =>
    one
  );
}

const runtime = values.runtime as Runtime;
const directory = await mkdtemp(join(tmpdir(), "atoll-bench-access-"));
try {
  const start = (name: string, env: Record<string, string>) =>
    startNode({ runtime, dataDir: join(directory, name), env, isLogUnread: true });
  await using open = await start("open", {});
  await using keyed = await start("keyed", { ATOLL_KEYS: JSON.stringify(Object.values(KEYS)) });
  const headers = { "Cache-Control": "max-age=3600", Authorization: bearer(KEYS.admin) };
  const store = async (url: string, body: Uint8Array<ArrayBuffer>): Promise<void> => {
    const { status } = await put(url, body, { headers });
    if (status !== 201) throw new Error(`wanted 201 of ${url}, got ${status}`);
  };
  for (const { publicUrl } of [open, keyed]) await store(publicUrl + PATH, new Uint8Array(1024));
  await store(`${keyed.publicUrl}/_/buckets/open`, new TextEncoder().encode('{"public":"read"}'));
  await store(keyed.publicUrl + PUBLIC_PATH, new Uint8Array(1024));
  const expires = Math.floor(Date.now() / 1000) + 86_400;
  const target = presigned(KEYS.reader, PATH, { expires });
  const ways = [
    { name: BASE, node: open, target: PATH, headers: [] },
    // The same bytes arrive and are parsed, but nobody asks for them.
    {
      name: "no keys, header sent",
      node: open,
      target: PATH,
      headers: [`Authorization: ${bearer(KEYS.reader)}`],
    },
    // The door stands there, and finds that everybody may.
    { name: "public bucket", node: keyed, target: PUBLIC_PATH, headers: [] },
    { name: "Bearer", node: keyed, target: PATH, headers: [`Authorization: ${bearer(KEYS.reader)}`] },
    { name: "Basic", node: keyed, target: PATH, headers: [`Authorization: ${basic(KEYS.reader)}`] },
    { name: "presigned", node: keyed, target, headers: [] },
  ];
  const measure = async ({ name, node, target, headers }: (typeof ways)[number]): Promise<Sample> => {
    const url = node.publicUrl + target;
    const begunMs = workedMsOf(node.pid);
    const load = await wrk(directory, {
      url,
      headers,
      connections: CONNECTIONS,
      seconds: Number(values.seconds),
    });
    if (load.errors > 0) throw new Error(`${name}: ${load.errors} errors`);
    const workedUs = 1_000 * (workedMsOf(node.pid) - begunMs);
    return { rate: load.requestsPerSecond, us: workedUs / load.requests };
  };
  const rounds: Map<string, Sample>[] = [];
  for (let round = -1; round < Number(values.rounds); round++) {
    const samples = new Map<string, Sample>();
    for (const way of shuffled(ways)) samples.set(way.name, await measure(way));
    if (round >= 0) rounds.push(samples); // the first warms up
  }
  for (const { name } of ways) {
    const of = (value: (one: Sample, base: Sample) => number) =>
      median(rounds.map((samples) => value(samples.get(name)!, samples.get(BASE)!)));
    const [rate, us] = [of((one) => one.rate), of((one) => one.us)];
    const [ofRate, ofTime] = [of((one, base) => one.rate / base.rate), of((one, base) => one.us / base.us)];
    console.log(
      `${name.padEnd(22)} ${rate.toFixed(0).padStart(7)} /s  ${(100 * ofRate).toFixed(1).padStart(6)} %` +
        `  ${us.toFixed(1).padStart(7)} us of the node  ${(100 * ofTime).toFixed(1).padStart(6)} %`,
    );
  }
} finally {
  await rm(directory, { recursive: true });
}
