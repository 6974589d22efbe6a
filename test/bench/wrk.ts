/** Load of small objects, made by wrk: one thread, many connections kept open. */
import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface Load {
  readonly requestsPerSecond: number;
  /** All that were answered. */
  readonly requests: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly errors: number;
}

/**
 * Every PUT has a key and a body of its own: the key and a stamp of 16 bytes at the head of the body are made new each
 * time. Stores that know equal bytes when they see them would otherwise be measured at not storing.
 *
 * wrk itself counts statuses of 400 and more; for PUT, where answers have no body worth buffering, all but 2xx count.
 */
const SCRIPT = `
local bytes, run = tonumber(os.getenv("BENCH_BYTES")), os.getenv("BENCH_RUN")
local pause = tonumber(os.getenv("BENCH_PAUSE"))
local head, middle, tail, n = nil, nil, nil, 0
bad = 0
if pause then
  function delay() return math.random(0, 2 * pause) end
end
if bytes then
  function init()
    math.randomseed(tonumber(run, 16) % 2^31)
    local t = {}
    for i = 1, math.min(bytes, 65536) do t[i] = string.char(math.random(0, 255)) end
    local body = table.concat(t):rep(math.ceil(bytes / 65536)):sub(1, bytes - 16)
    local request = wrk.format("PUT", wrk.path .. "/KEY-GOES-HERE", nil, "STAMP-GOES-HERE!" .. body)
    local key, keyEnd = request:find("KEY-GOES-HERE", 1, true)
    local stamp, stampEnd = request:find("STAMP-GOES-HERE!", 1, true)
    head, middle, tail = request:sub(1, key - 1), request:sub(keyEnd + 1, stamp - 1), request:sub(stampEnd + 1)
  end
  function request()
    n = n + 1
    local unique = string.format("%s%08x", run, n)
    return head .. unique .. middle .. unique .. tail
  end
  function response(status) if status < 200 or status > 299 then bad = bad + 1 end end
end
local thread
function setup(t) thread = t end
function done(s, latency)
  local e = s.errors
  local refused = bytes and thread:get("bad") or e.status
  print(string.format('BENCH {"requests":%d,"refused":%d,"broken":%d,"us":%d,"p50":%f,"p99":%f}', s.requests, refused,
    e.connect + e.read + e.write + e.timeout, s.duration, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
`;

export interface WrkRun {
  readonly url: string;
  readonly headers: readonly string[];
  readonly connections: number;
  readonly seconds: number;
  /** Ms on average between an answer and the next request of its connection. */
  readonly pauseMs?: number;
  /** Bytes of each PUT, 16 or more, to fresh keys below the URL; undefined: GET of the URL. */
  readonly putBytes?: number;
}

let runs = 0;

export async function wrk(directory: string, run: WrkRun): Promise<Load> {
  const script = join(directory, "load.lua");
  await writeFile(script, SCRIPT);
  const unique = ((Date.now() + ++runs) >>> 0).toString(16).padStart(8, "0");
  const args = [
    "-t1",
    `-c${run.connections}`,
    `-d${run.seconds}s`,
    "--timeout",
    "10s",
    "--latency",
    "-s",
    script,
  ];
  for (const header of run.headers) args.push("-H", header);
  const { output } = await program("wrk", [...args, run.url], {
    BENCH_RUN: unique,
    ...(run.pauseMs === undefined ? {} : { BENCH_PAUSE: String(run.pauseMs) }),
    ...(run.putBytes === undefined ? {} : { BENCH_BYTES: String(run.putBytes) }),
  });
  const line = /^BENCH (.*)$/m.exec(output)?.[1];
  if (line === undefined) throw new Error(`wrk said nothing of ${run.url}:\n${output}`);
  const told = JSON.parse(line) as Record<"requests" | "refused" | "broken" | "us" | "p50" | "p99", number>;
  return {
    requestsPerSecond: (told.requests - told.refused) / (told.us / 1e6),
    requests: told.requests,
    p50Ms: told.p50,
    p99Ms: told.p99,
    errors: told.refused + told.broken,
  };
}

/** Why the small rows cannot be measured, or undefined. */
export async function wrkProblem(): Promise<string | undefined> {
  try {
    await program("wrk", ["--version"], {});
    return undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return "wrk is not installed, which makes the load of the rows with many connections: apt-get install wrk";
  }
}

function program(
  name: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => output += text);
    }
    child.once("error", reject);
    // wrk ends with 1 for --version; whether it measured is seen by its line.
    child.once("close", () => resolve({ output }));
  });
}
