/**
 * `npm run bench:access`: what asking for credentials costs the hottest read, 1 KiB from memory. The same node without keys
 * and with them, by Bearer, Basic and a presigned URL, in turns; medians. `--rounds N --seconds N --runtime node|deno`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startNode } from "../helpers/atoll-process.ts";
import { basic, bearer, KEYS, presigned } from "../helpers/credentials.ts";
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

const runtime = values.runtime as Runtime;
const directory = await mkdtemp(join(tmpdir(), "atoll-bench-access-"));
try {
  const start = (name: string, env: Record<string, string>) =>
    startNode({ runtime, dataDir: join(directory, name), env });
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
    { name: "no keys", url: open.publicUrl + PATH, headers: [] },
    // The same bytes arrive and are parsed, but nobody asks for them.
    {
      name: "no keys, header sent",
      url: open.publicUrl + PATH,
      headers: [`Authorization: ${bearer(KEYS.reader)}`],
    },
    { name: "Bearer", url: keyed.publicUrl + PATH, headers: [`Authorization: ${bearer(KEYS.reader)}`] },
    { name: "Basic", url: keyed.publicUrl + PATH, headers: [`Authorization: ${basic(KEYS.reader)}`] },
    { name: "presigned", url: keyed.publicUrl + target, headers: [] },
  ];
  const rates = new Map<string, number[]>(ways.map(({ name }) => [name, []]));
  for (let round = -1; round < Number(values.rounds); round++) {
    for (const { name, ...way } of ways) {
      const load = await wrk(directory, {
        ...way,
        connections: CONNECTIONS,
        seconds: Number(values.seconds),
      });
      if (load.errors > 0) throw new Error(`${name}: ${load.errors} errors`);
      if (round >= 0) rates.get(name)!.push(load.requestsPerSecond); // the first warms up
    }
  }
  const base = median(rates.get("no keys")!);
  for (const [name, samples] of rates) {
    const rate = median(samples);
    const percent = (100 * rate / base).toFixed(1);
    console.log(`${name.padEnd(22)} ${rate.toFixed(0).padStart(7)} /s  ${percent.padStart(6)} %`);
  }
} finally {
  await rm(directory, { recursive: true });
}
