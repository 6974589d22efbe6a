/**
 * The yardstick: what Hono and its Node server can do when there is nothing to do. PUT counts the bytes and forgets them;
 * GET answers with bytes of the size and the headers it was told to. No disk, no digests, no replicas.
 *
 * A body of up to 1 MiB is kept whole. Of a larger one only its size and last MiB are kept, and GET repeats that MiB, so
 * that the handler streams from memory.
 */
import { type HttpBindings, serve } from "@hono/node-server";
import { Hono } from "hono";
import { ANSWER_HEADERS } from "./answer-headers.ts";

const PIECE_BYTES = 1 << 20;

interface Stored {
  readonly sizeBytes: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly headers: Record<string, string>;
}

const stored = new Map<string, Stored>();
const app = new Hono<{ Bindings: HttpBindings }>();

app.put("*", async (c) => {
  const headers = c.req.header(ANSWER_HEADERS);
  if (headers === undefined) await count(c.req.raw.body);
  else {stored.set(c.req.path, {
      ...await keep(c.req.raw.body),
      headers: JSON.parse(headers) as Record<string, string>,
    });}
  return c.body(null, 201);
});

app.get("*", (c) => {
  const object = stored.get(c.req.path);
  if (!object) return c.notFound();
  if (object.sizeBytes === object.bytes.length) return c.body(object.bytes, 200, object.headers);
  return c.body(repeat(object), 200, { ...object.headers, "content-length": String(object.sizeBytes) });
});

type Body = ReadableStream<Uint8Array<ArrayBuffer>> | null;

async function count(body: Body): Promise<number> {
  let sizeBytes = 0;
  if (body) { for await (const part of body) sizeBytes += part.length; }
  return sizeBytes;
}

async function keep(body: Body): Promise<{ sizeBytes: number; bytes: Uint8Array<ArrayBuffer> }> {
  const last = new Uint8Array(PIECE_BYTES);
  let sizeBytes = 0;
  for await (const part of body ?? []) {
    const at = sizeBytes % PIECE_BYTES;
    const head = part.subarray(0, PIECE_BYTES - at);
    last.set(head, at);
    last.set(part.subarray(head.length, head.length + PIECE_BYTES), 0);
    sizeBytes += part.length;
  }
  return { sizeBytes, bytes: sizeBytes < PIECE_BYTES ? last.slice(0, sizeBytes) : last };
}

function repeat({ sizeBytes, bytes }: Stored): ReadableStream<Uint8Array<ArrayBuffer>> {
  let left = sizeBytes;
  return new ReadableStream({
    pull(controller) {
      // A copy: whoever reads the stream may take the buffer away.
      const piece = bytes.slice(0, Math.min(left, bytes.length));
      left -= piece.length;
      controller.enqueue(piece);
      if (left === 0) controller.close();
    },
  });
}

serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => {
  const at = `http://127.0.0.1:${port}`;
  console.log(
    JSON.stringify({ level: "info", message: "listening", publicUrl: at, peerUrl: at, nodeId: "bare" }),
  );
});
