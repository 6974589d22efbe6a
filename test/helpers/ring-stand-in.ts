/** A node that only knows `/_/ring`, over real HTTP: what is asked of it is kept, what it answers is set by the test. */
import { createAdaptorServer } from "@hono/node-server";
import { Hono } from "hono";
import type { AddressInfo } from "node:net";
import { once } from "node:events";

export interface RingStandIn extends AsyncDisposable {
  readonly url: string;
  readonly asked: { readonly path: string; readonly document: Record<string, unknown> }[];
  /** One after the other; the last one stays. */
  statuses: unknown[];
  plan: unknown;
  /** Decides what apply and force-recover answer. */
  apply: (document: Record<string, unknown>) => { status: 200 | 409 | 422 | 503; document: unknown };
}

export function standInNode(id: string, zone: string, more: Record<string, unknown> = {}) {
  return {
    id,
    region: zone,
    zone,
    weight: 1,
    member: true,
    voter: true,
    state: "alive",
    peerUrl: `http://${id}:8081`,
    publicUrl: `http://${id}:8080`,
    rttMs: 1.25,
    partitions: { before: 1024, after: 1024 },
    synced: true,
    ...more,
  };
}

export function standInStatus(more: Record<string, unknown> = {}) {
  return {
    self: "node-a",
    ringId: "ring-1",
    layout: { number: 7, state: "settled", replicas: 3, voters: ["node-a", "node-b", "node-c"] },
    nodes: [
      standInNode("node-b", "fra"),
      standInNode("node-a", "ams"),
      standInNode("node-c", "iad", { rttMs: null }),
    ],
    move: null,
    ...more,
  };
}

export function standInPlan(more: Record<string, unknown> = {}) {
  return {
    base: 7,
    change: { drain: ["node-a"] },
    nodes: [{ id: "node-a", zone: "ams", before: 1024, after: 0 }, {
      id: "node-d",
      zone: "syd",
      before: 0,
      after: 1024,
    }],
    replicasMoved: 1024,
    partitionsTouched: 1024,
    partitions: [0, 1, 2, 3, 10, ...Array.from({ length: 21 }, (_, at) => 20 + 2 * at)].map((
      partition,
    ) => ({ partition, before: ["node-a"], after: ["node-d"] })),
    bytesToMove: 5 * 2 ** 30,
    balance: { before: 1, after: 1.25 },
    zoneSpread: { wanted: 3, before: 1024, after: 1000 },
    warnings: ["one zone only holds one node"],
    ...more,
  };
}

export async function startRingStandIn(): Promise<RingStandIn> {
  const app = new Hono();
  const asked: RingStandIn["asked"] = [];
  const problem = (status: number, code: string, detail: string, more: unknown = {}) =>
    new Response(
      JSON.stringify({
        type: `urn:atoll:error:${code}`,
        title: "t",
        status,
        code,
        detail,
        ...more as object,
      }),
      {
        status,
        headers: { "Content-Type": "application/problem+json" },
      },
    );
  app.get("/livez", (c) => c.text("ok\n"));
  app.get("/readyz", (c) => c.json({ ready: true, reasons: [], node: "node-a" }));
  app.get("/_/ring", (c) => {
    const status = standIn.statuses.length > 1 ? standIn.statuses.shift() : standIn.statuses[0];
    return c.json(status as object);
  });
  app.post("/_/ring/:what", async (c) => {
    const document = await c.req.json<Record<string, unknown>>();
    asked.push({ path: c.req.path, document });
    if (c.req.param("what") === "plan") return c.json(standIn.plan as object);
    const { status, document: answer } = standIn.apply(document);
    if (status === 200) return c.json(answer as object);
    const { code, detail, ...more } = answer as { code: string; detail: string };
    return problem(status, code, detail, more);
  });
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const standIn: RingStandIn = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    statuses: [standInStatus()],
    plan: standInPlan(),
    apply: () => ({ status: 200, document: { layout: 8 } }),
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
  return standIn;
}
