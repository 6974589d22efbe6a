/**
 * The yardstick: what Hono and its Node server can do when there is nothing to do. PUT counts the bytes and forgets them;
 * GET answers with bytes of the size and the headers it was told to. No disk, no digests, no replicas.
 *
 * A body of up to 1 MiB is kept in memory; a larger one in a file, which GET pipes.
 */
import { createAdaptorServer, type HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ANSWER_HEADERS } from "./answer-headers.ts";

const IN_MEMORY_BYTES_MAX = 1 << 20;
const DIRECTORY = process.env["ATOLL_DATA_DIR"] ?? ".";

interface Stored {
  readonly sizeBytes: number;
  readonly bytes?: Uint8Array<ArrayBuffer>;
  readonly file?: string;
  readonly headers: Record<string, string>;
}

const stored = new Map<string, Stored>();
const app = new Hono<{ Bindings: HttpBindings }>();

app.put("*", async (c) => {
  const headers = c.req.header(ANSWER_HEADERS);
  if (headers === undefined) await count(c.req.raw.body);
  else {
    const kept = await keep(c.req.raw.body, Number(c.req.header("content-length")));
    stored.set(c.req.path, { ...kept, headers: JSON.parse(headers) as Record<string, string> });
  }
  return c.body(null, 201);
});

app.get("*", (c) => {
  const object = stored.get(c.req.path);
  if (!object) return c.notFound();
  if (object.bytes) return c.body(object.bytes, 200, object.headers);
  const stream = Readable.toWeb(createReadStream(object.file!)) as ReadableStream;
  return c.body(stream, 200, { ...object.headers, "content-length": String(object.sizeBytes) });
});

type Body = ReadableStream<Uint8Array<ArrayBuffer>> | null;

async function count(body: Body): Promise<number> {
  let sizeBytes = 0;
  if (body) { for await (const part of body) sizeBytes += part.length; }
  return sizeBytes;
}

async function keep(body: Body, sizeBytes: number): Promise<Omit<Stored, "headers">> {
  if (sizeBytes <= IN_MEMORY_BYTES_MAX) {
    const bytes = new Uint8Array(await new Response(body).arrayBuffer());
    return { sizeBytes, bytes };
  }
  await mkdir(DIRECTORY, { recursive: true });
  const file = join(DIRECTORY, `bare-${stored.size}`);
  await pipeline(Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]), createWriteStream(file));
  return { sizeBytes, file };
}

const server = createAdaptorServer({ fetch: app.fetch });
// As many wait to be taken as at our own listener.
server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, () => {
  const { port } = server.address() as AddressInfo;
  const at = `http://127.0.0.1:${port}`;
  console.log(
    JSON.stringify({ level: "info", message: "listening", publicUrl: at, peerUrl: at, nodeId: "bare" }),
  );
});
