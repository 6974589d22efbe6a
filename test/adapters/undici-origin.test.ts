/** Origins over real connections: TLS by an authority of one's own, and answers that come before the answer. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import { createOrigin } from "../../src/adapters/undici-origin.ts";
import type { Origin } from "../../src/ports.ts";
import { makeCertificate } from "../helpers/certificates.ts";
import { within } from "../helpers/deadline.ts";
import { startScriptedOrigin } from "../helpers/scripted-origin.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const allowed = { ranges: [], hosts: ["localhost"] };
const DONE = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
const WAIT = "HTTP/1.1 100 Continue\r\nX-Why: none\r\n\r\n";

const PATIENT = { headTimeoutMs: 5_000, partTimeoutMs: 5_000 };

async function get(origin: Origin, url: string): Promise<[status: number, body: string]> {
  const { status, body } = await origin.fetch({ method: "GET", url, headers: {}, ...PATIENT });
  let text = "";
  for await (const part of body) text += new TextDecoder().decode(part);
  return [status, text];
}

test("an origin that speaks TLS is believed by the authority that was named, and not without it", async () => {
  using directory = temporaryDirectory();
  const authority = await makeCertificate(directory.path, "authority");
  const made = await makeCertificate(directory.path, "origin", authority);
  const [cert, key, ca] = await Promise.all(
    [made.certFile, made.keyFile, authority.certFile].map((file) => readFile(file, "utf8")),
  );
  const server = createServer({ cert: cert!, key: key! }, (_incoming, outgoing) => outgoing.end("secret"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
  const knowing = createOrigin({ allowed, ca });
  const strange = createOrigin({ allowed });
  try {
    assert.deepEqual(await get(knowing, url), [200, "secret"]);
    await assert.rejects(get(strange, url), { code: "origin-failed" });
  } finally {
    await Promise.all([knowing.close(), strange.close()]);
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
});

test("100 Continue that nobody asked for is ignored, on a connection that is used again, however it is cut", async () => {
  const sockets = new Set<Socket>();
  await using server = await startScriptedOrigin(({ path }) => ({
    raw: async (socket) => {
      sockets.add(socket);
      const text = path.startsWith("/plain") ? DONE : WAIT + WAIT + DONE;
      if (!path.startsWith("/cut")) return void socket.write(text);
      socket.setNoDelay(true);
      for (const byte of text) {
        await new Promise<void>((resolve) => socket.write(byte, () => setImmediate(resolve)));
      }
    },
  }));
  const origin = createOrigin({ allowed });
  const url = server.url.replace("127.0.0.1", "localhost");
  try {
    const paths = ["/first", "/plain", "/second", "/cut", "/plain-2", "/cut-2"];
    for (const path of paths) {
      assert.deepEqual(await get(origin, url + path), [200, "done"], path);
    }
    // undici opens a second one when the first is not yet known to be free.
    assert.ok(sockets.size < paths.length, `wanted connections used again, got ${sockets.size}`);
  } finally {
    await origin.close();
  }
});

test("who waits for a connection waits no longer than for an answer, and its turn goes to the next", async () => {
  const rest = Promise.withResolvers<void>();
  let busy = 0;
  await using server = await startScriptedOrigin(({ path }) => ({
    raw: async (socket) => {
      if (path === "/quick") return void socket.write(DONE);
      busy++;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
      await rest.promise;
      socket.write("half");
    },
  }));
  const origin = createOrigin({ allowed });
  const url = server.url.replace("127.0.0.1", "localhost");
  const ask = (path: string, headTimeoutMs: number) =>
    origin.fetch({ method: "GET", url: url + path, headers: {}, headTimeoutMs, partTimeoutMs: 60_000 });
  try {
    const slow = await Promise.all(Array.from({ length: 64 }, () => ask("/slow", 10_000)));
    const late = { code: "origin-timeout", message: /localhost to begin within 200 ms, got none/ };
    await within(
      Promise.all([1, 2, 3].map(() => assert.rejects(ask("/quick", 200), late))),
      3_000,
      "who waits in vain is told so",
    );
    assert.deepEqual([busy, server.seen("/quick").length], [64, 0]);
    const patient = get(origin, `${url}/quick`);
    await slow[0]!.body.return?.(); // unread
    assert.deepEqual(await patient, [200, "done"]);
    const next = get(origin, `${url}/quick`);
    rest.resolve();
    for (const { body } of slow.slice(1)) for await (const _ of body);
    assert.deepEqual(await next, [200, "done"]);
    const again = await Promise.all(Array.from({ length: 64 }, () => get(origin, `${url}/quick`)));
    assert.equal(again.length, 64);
    assert.equal(server.seen("/quick").length, 66, "nobody who gave up was asked for");
  } finally {
    await origin.close();
  }
});

test("an origin that takes a connection and says nothing is given up in time", async () => {
  await using server = await startScriptedOrigin(() => ({ raw: () => {} }));
  const origin = createOrigin({ allowed });
  try {
    const url = server.url.replace("127.0.0.1", "localhost");
    const asked = origin.fetch({
      method: "GET",
      url,
      headers: {},
      headTimeoutMs: 200,
      partTimeoutMs: 60_000,
    });
    await within(assert.rejects(asked, { code: "origin-timeout" }), 3_000, "it is given up");
  } finally {
    await origin.close();
  }
});
