/**
 * `npm run bench:access`: what asking for credentials costs the hottest read, 1 KiB from memory. The same node without keys
 * and with them, by Bearer, Basic and a presigned URL, in turns; medians. `--rounds N --seconds N --runtime node|deno`.
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
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "4" },
    runtime: { type: "string", default: "node" },
  },
});
const CONNECTIONS = 64;
const PATH = "/docs/hot";

interface Sample {
  /** Requests a second. */
  readonly rate: number;
  /** The node's work for a request, of all its threads. */
  readonly us: number;
}

const runtime = values.runtime as Runtime;
const directory = await mkdtemp(join(tmpdir(), "atoll-bench-access-"));
try {
  const start = (name: string, env: Record<string, string>) =>
    startNode({ runtime, dataDir: join(directory, name), env, isLogUnread: true });
  await using open = await start("open", {});
  await using keyed = await start("keyed", { ATOLL_KEYS: JSON.stringify(Object.values(KEYS)) });
  const headers = { "Cache-Control": "max-age=3600", Authorization: bearer(KEYS.admin) };
  for (const { publicUrl } of [open, keyed]) {
    const { status } = await put(publicUrl + PATH, new Uint8Array(1024), { headers });
    if (status !== 201) throw new Error(`wanted 201, got ${status}`);
  }
  const expires = Math.floor(Date.now() / 1000) + 86_400;
  const target = presigned(KEYS.reader, PATH, { expires });
  const ways = [
    { name: "no keys", node: open, target: PATH, headers: [] },
    // The same bytes arrive and are parsed, but nobody asks for them.
    {
      name: "no keys, header sent",
      node: open,
      target: PATH,
      headers: [`Authorization: ${bearer(KEYS.reader)}`],
    },
    { name: "Bearer", node: keyed, target: PATH, headers: [`Authorization: ${bearer(KEYS.reader)}`] },
    { name: "Basic", node: keyed, target: PATH, headers: [`Authorization: ${basic(KEYS.reader)}`] },
    { name: "presigned", node: keyed, target, headers: [] },
  ];
  const samples = new Map<string, Sample[]>(ways.map(({ name }) => [name, []]));
  for (let round = -1; round < Number(values.rounds); round++) {
    for (const { name, node, target, headers } of ways) {
      const url = node.publicUrl + target;
      const begunMs = workedMsOf(node.pid);
      const load = await wrk(directory, {
        url,
        headers,
        connections: CONNECTIONS,
        seconds: Number(values.seconds),
      });
      const workedUs = 1_000 * (workedMsOf(node.pid) - begunMs);
      if (load.errors > 0) throw new Error(`${name}: ${load.errors} errors`);
      if (round < 0) continue; // warms up
      samples.get(name)!.push({ rate: load.requestsPerSecond, us: workedUs / load.requests });
    }
  }
  const rateOf = (name: string) => median(samples.get(name)!.map(({ rate }) => rate));
  const usOf = (name: string) => median(samples.get(name)!.map(({ us }) => us));
  for (const { name } of ways) {
    const [rate, us] = [rateOf(name), usOf(name)];
    const [ofRate, ofTime] = [rate / rateOf("no keys"), us / usOf("no keys")];
    console.log(
      `${name.padEnd(22)} ${rate.toFixed(0).padStart(7)} /s  ${(100 * ofRate).toFixed(1).padStart(6)} %` +
        `  ${us.toFixed(1).padStart(7)} us of the node  ${(100 * ofTime).toFixed(1).padStart(6)} %`,
    );
  }
} finally {
  await rm(directory, { recursive: true });
}
