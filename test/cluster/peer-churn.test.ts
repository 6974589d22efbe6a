/** Connections to the peer port that come and go: on each runtime, whoever makes them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:http2";
import { test } from "node:test";
import { startNode } from "../helpers/atoll-process.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

/** A node on Deno used to die of one such connection in eighty. */
const CONNECTIONS = 300;

async function ask(peerUrl: string): Promise<number> {
  const session = connect(peerUrl);
  const closed = once(session, "close");
  const stream = session.request({
    ":method": "POST",
    ":path": "/v1/call",
    "atoll-from": "nobody",
    "atoll-ring": "-",
    "atoll-layout": "0",
    "atoll-protocol": "0",
  });
  stream.end(new Uint8Array(4));
  const [headers] = await once(stream, "response") as [Record<string, string>];
  stream.resume();
  await once(stream, "end");
  session.close();
  await closed;
  return Number(headers[":status"]);
}

for (const runtime of ["node", "deno"] as const) {
  test(`a node on ${runtime} outlives ${CONNECTIONS} connections to its peer port`, async () => {
    using directory = temporaryDirectory();
    await using node = await startNode({ runtime, dataDir: directory.path });
    for (let i = 0; i < CONNECTIONS; i++) assert.equal(await ask(node.peerUrl), 426);
    assert.equal((await fetch(`${node.publicUrl}/livez`)).status, 200);
  });
}
