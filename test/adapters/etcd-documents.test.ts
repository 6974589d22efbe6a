/** Documents in a real etcd, changed by transaction on their revision. */
import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { createClock } from "../../src/adapters/clock.ts";
import { EtcdDocuments, type SwapOutcome } from "../../src/adapters/etcd-documents.ts";
import { EtcdGateway } from "../../src/adapters/etcd-gateway.ts";
import { isAtollError } from "../../src/errors.ts";
import { type EtcdProcess, NO_ETCD, startEtcd } from "../helpers/etcd-process.ts";
import { freePorts } from "../helpers/ports.ts";

const skip = NO_ETCD === undefined ? {} : { skip: NO_ETCD };
let etcd: EtcdProcess;

before(async () => {
  if (NO_ETCD === undefined) etcd = await startEtcd();
});
after(async () => {
  await etcd?.[Symbol.asyncDispose]();
});

test("a document is made once, read as it was put, and changed at its revision only", skip, async () => {
  const documents = new EtcdDocuments(etcd.gateway);
  const key = "/one/layout";
  assert.equal(await documents.get(key), undefined);
  assert.deepEqual(await documents.compareAndSwap(key, 7, "x"), { kind: "conflict", current: undefined });
  const made = await documents.compareAndSwap(key, 0, "first, with ümlauts");
  assert.ok(made.kind === "swapped");
  const first = { text: "first, with ümlauts", modRevision: made.modRevision };
  assert.deepEqual(await documents.get(key), first);
  assert.deepEqual(await documents.compareAndSwap(key, 0, "other"), { kind: "conflict", current: first });
  const changed = await documents.compareAndSwap(key, first.modRevision, "second");
  assert.ok(changed.kind === "swapped" && changed.modRevision > first.modRevision);
  const second = { text: "second", modRevision: changed.modRevision };
  assert.deepEqual(await documents.compareAndSwap(key, first.modRevision, "late"), {
    kind: "conflict",
    current: second,
  });
});

test("of many who change a document at once, one succeeds at each revision", skip, async () => {
  const documents = new EtcdDocuments(etcd.gateway);
  const key = "/race/layout";
  let revision = 0;
  for (let round = 0; round < 20; round++) {
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, (_, i) => documents.compareAndSwap(key, revision, `${round} ${i}`)),
    );
    const winners = outcomes.flatMap((outcome, i) => outcome.kind === "swapped" ? [{ outcome, i }] : []);
    assert.equal(winners.length, 1);
    const { outcome, i } = winners[0]!;
    revision = outcome.modRevision;
    assert.deepEqual(await documents.get(key), { text: `${round} ${i}`, modRevision: revision });
  }
});

test("an endpoint that is not there is passed over, for a change too", skip, async () => {
  const [nowhere] = await freePorts(1);
  const gateway = new EtcdGateway([`http://127.0.0.1:${nowhere}`, etcd.url], createClock());
  const documents = new EtcdDocuments(gateway);
  assert.equal((await documents.compareAndSwap("/over/layout", 0, "x")).kind, "swapped");
  await gateway.close();
});

/** An endpoint that answers as it is told, before a second that would say yes. */
async function swapOver(answer: RequestListener): Promise<{ outcome: unknown; secondWasAsked: boolean }> {
  let secondWasAsked = false;
  const servers = [
    createServer(answer),
    createServer((_request, response) => {
      secondWasAsked = true;
      response.end('{"header":{"revision":"9"},"succeeded":true}');
    }),
  ];
  for (const server of servers) await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const urls = servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const gateway = new EtcdGateway(urls, createClock());
  const outcome: SwapOutcome | string = await new EtcdDocuments(gateway).compareAndSwap("/x", 3, "y").catch((
    error: unknown,
  ) => isAtollError(error) ? error.code : String(error));
  await gateway.close();
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
  return { outcome, secondWasAsked };
}

const ANSWERS: readonly (readonly [string, RequestListener, string])[] = [
  ["never answers", () => {}, "outcome-unknown"],
  ["hangs up", (request) => request.socket.destroy(), "outcome-unknown"],
  ["answers in part", (_request, response) => response.write('{"header":'), "outcome-unknown"],
  [
    "has no leader",
    (_request, response) => response.writeHead(503).end('{"error":"no leader"}'),
    "outcome-unknown",
  ],
  ["says no", (_request, response) => response.writeHead(400).end('{"error":"no"}'), "peer-refused"],
  ["talks nonsense", (_request, response) => response.end("<html>"), "peer-garbage"],
  ["answers with other JSON", (_request, response) => response.end("[1]"), "peer-garbage"],
  ["answers with 8 MiB", (_request, response) => response.end("[".repeat(8 << 20)), "peer-garbage"],
];

for (const [what, answer, code] of ANSWERS) {
  test(`a change over an endpoint that ${what} is ${code} and not tried elsewhere`, async () => {
    assert.deepEqual(await swapOver(answer), { outcome: code, secondWasAsked: false });
  });
}
