/**
 * Whoever has no key makes up names of buckets, of which each is a question to the ring, while the ring is slow to answer:
 * only so many are worked at, the rest is turned away, and there is room left for those who have keys.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { bearer, KEYS } from "../helpers/credentials.ts";
import { until } from "../helpers/deadline.ts";
import { ask, codeOf, metricsOf, RawHttp } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const AUTHORIZED = { Authorization: bearer(KEYS.admin) };
const MOST = 64;
const CONNECTIONS = 4;
const PIPELINED = 60;

let directory: string;
let ring: AtollRing;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-made-up-"));
  ring = await startRing({
    directory,
    runtimes: [HERE, THERE, HERE],
    env: {
      ATOLL_KEYS: JSON.stringify(Object.values(KEYS)),
      ATOLL_METRICS: "open",
      ATOLL_MAX_CONCURRENT_REQUESTS: String(MOST),
    },
  });
});
after(async () => {
  await ring?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const ORIGIN = { Origin: "https://evil.example" };
const FLOODS = [
  ["GET", {}],
  ["GET", ORIGIN],
  ["OPTIONS", { ...ORIGIN, "Access-Control-Request-Method": "PUT" }],
] as const;

test("made-up buckets take half of what may be under way, and what others ask has its place", async () => {
  const url = ring.nodes[0]!.publicUrl;
  const [before] = await metricsOf(url, ["atoll_limited_total"]);
  for (const hanging of ring.nodes.slice(1)) hanging.pause();
  // Who is refused anyway has nothing asked, and so waits for nobody.
  const asking = { method: "PUT", body: "x", headers: ORIGIN, deadlineMs: 2_000 };
  assert.equal((await ask(`${url}/made-up-refused/x`, asking)).status, 401);
  const connections: RawHttp[] = [];
  for (const [method, headers] of FLOODS) {
    for (let i = 0; i < CONNECTIONS; i++) {
      const connection = await RawHttp.open(url);
      for (let n = 0; n < PIPELINED; n++) {
        connection.head(method, `/made-up-${connections.length}-${n}/x`, headers);
      }
      connections.push(connection);
    }
  }
  const most = MOST / 2;
  const refused = FLOODS.length * CONNECTIONS * PIPELINED - most;
  let active = 0;
  await until(`all but ${most} are turned away`, 5_000, async () => {
    const [limited, underWay] = await metricsOf(url, ["atoll_limited_total", "http_server_active_requests"]);
    active = Math.max(active, underWay!);
    return limited! - before! >= refused;
  });
  // The one that asks for the number is among them.
  assert.ok(active <= most + 1, `wanted at most ${most} under way, got ${active}`);
  // That nobody can tell now is another answer than that there is no place for who asks.
  const asked = await ask(`${url}/docs/none`, { headers: AUTHORIZED, deadlineMs: 30_000 });
  assert.deepEqual([asked.status, codeOf(asked)], [503, "no-quorum"]);
  for (const connection of connections) connection.cut();
});
