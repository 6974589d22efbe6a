/**
 * The channel between nodes, as the node that is asked sees it. Whoever asks is checked before a byte of the body is
 * read: protocol, signature, whom it wanted, and which ring it belongs to.
 */
import { Buffer } from "node:buffer";
import { type Context, Hono } from "hono";
import { CHUNK_BYTES, isChunkId } from "../core/manifest.ts";
import { AtollError, type ErrorCode, messageOf } from "../errors.ts";
import type { Clock, Log, PeerHandler, PeerReply, PeerRequest } from "../ports.ts";
import { AUTH_HEADER, bodyDigest, NO_DIGEST, PeerVerifier, type SignedRequest } from "./peer-auth.ts";
import { readBody } from "./peer-body.ts";
import {
  CALL_BYTES_MAX,
  type CallReply,
  decodeRequests,
  encodeReply,
  errorReply,
  joinFrames,
  PEER_PROTOCOL,
} from "./peer-codec.ts";
import {
  CALL_PATH,
  CHUNK_PATH,
  FROM_HEADER,
  NONE,
  type PeerSelf,
  PROTOCOL_HEADER,
  readRequestHeaders,
  RING_HEADER,
} from "./peer-headers.ts";
import { RefusalLog } from "./peer-refusals.ts";

export interface PeerAppDeps {
  readonly self: () => PeerSelf;
  /** Undefined: whoever can connect is trusted. */
  readonly secret: string | undefined;
  readonly handler: PeerHandler;
  readonly clock: Clock;
  readonly log: Log;
}

/** Who asks, checked. `mac`: of its signature, if it had to have one. */
interface Asker {
  readonly request: SignedRequest;
  readonly mac?: string | undefined;
  /** Of the body; undefined when the path says what the body must be, or nobody checks. */
  readonly digest?: string | undefined;
}

const STATUS: Partial<Record<ErrorCode, 400 | 401 | 409 | 413 | 421 | 426>> = {
  "peer-garbage": 400,
  "peer-refused": 401,
  "wrong-ring": 409,
  "too-large": 413,
  "wrong-node": 421,
  "wrong-protocol": 426,
};

/** What a node may ask of another although one of them belongs to no ring yet: how rings are found and founded. */
const WITHOUT_RING: ReadonlySet<PeerRequest["type"]> = new Set([
  "ping",
  "layout",
  "found-prepare",
  "found-accept",
]);

export function createPeerApp({ self, secret, handler, clock, log }: PeerAppDeps): Hono {
  const verifier = secret === undefined ? undefined : new PeerVerifier({ secret, clock });
  const refusals = new RefusalLog(log);
  const app = new Hono();

  function admit(c: Context, path: string): Asker {
    const request = readRequestHeaders(c.req.raw, path);
    const signature = verifier?.check(request, c.req.raw.headers.get(AUTH_HEADER) ?? undefined);
    const { nodeId, ringId } = self();
    if (request.to !== NONE && request.to !== nodeId) {
      throw new AtollError("wrong-node", `wanted node ${request.to}, got ${nodeId}`);
    }
    if (ringId !== undefined && request.ring !== NONE && request.ring !== ringId) {
      throw new AtollError(
        "wrong-ring",
        `wanted a member of ring ${ringId}, got one of ring ${request.ring}`,
      );
    }
    const digest = signature?.digest === NO_DIGEST ? undefined : signature?.digest;
    return { request, mac: signature?.mac, digest };
  }

  async function handle({ request: { from, ring } }: Asker, trace: string | undefined, request: PeerRequest) {
    const { ringId } = self();
    if ((ringId === undefined || ring === NONE) && !WITHOUT_RING.has(request.type)) {
      throw new AtollError(
        "wrong-ring",
        `wanted ${request.type} between members of one ring, got ${ring} and ${ringId ?? NONE}`,
      );
    }
    const reply = await handler({ node: from, trace }, request);
    if (reply.type === "error") return reply;
    const wanted = request.type === "ping" ? "pong" : request.type;
    if (reply.type !== wanted) throw new Error(`broken invariant: ${wanted} was answered with ${reply.type}`);
    return reply;
  }

  /** A fault of the handler, as it is told to the peer; what nobody expected is told to the log. */
  function asReply(error: unknown): Extract<PeerReply, { type: "error" }> {
    if (error instanceof AtollError) return errorReply(error);
    log.error("a peer's request failed", { reason: messageOf(error) });
    return { type: "error", code: "internal", message: "see that node's log" };
  }

  function answer(
    asker: Asker,
    status: 200 | 404,
    body: Uint8Array,
    digest = bodyDigest(body),
  ): Response {
    const { nodeId, ringId } = self();
    const ring = ringId ?? NONE;
    const headers: Record<string, string> = {
      ...answerHeaders(nodeId, ring),
      "content-type": "application/octet-stream",
      "content-length": String(body.length),
    };
    if (verifier && asker.mac !== undefined) {
      headers[AUTH_HEADER] = verifier.signAnswer(asker.mac, { status, from: nodeId, ring }, digest);
    }
    return new Response(body as Uint8Array<ArrayBuffer>, { status, headers });
  }

  function fault(error: AtollError, status: number): Response {
    const { nodeId, ringId } = self();
    // Who could not show the secret learns nothing of the ring.
    const named = status === 401 || status === 426
      ? { [PROTOCOL_HEADER]: String(PEER_PROTOCOL) }
      : answerHeaders(nodeId, ringId ?? NONE);
    return Response.json({ code: error.code, message: error.message }, { status, headers: named });
  }

  /** Runs what a route does with a chunk, or answers with what its handler said was wrong. */
  async function chunkAnswer(
    run: () => Promise<PeerReply>,
    found: (reply: PeerReply) => Response,
  ): Promise<Response> {
    let reply: PeerReply;
    try {
      reply = await run();
    } catch (error) {
      reply = asReply(error);
    }
    if (reply.type !== "error") return found(reply);
    const { nodeId, ringId } = self();
    return Response.json({ code: reply.code, message: reply.message }, {
      status: 500,
      headers: answerHeaders(nodeId, ringId ?? NONE),
    });
  }

  app.post(CALL_PATH, async (c) => {
    const asker = admit(c, CALL_PATH);
    if (asker.mac !== undefined && asker.digest === undefined) {
      throw new AtollError("peer-refused", "wanted a signed body, got a signature without its digest");
    }
    const body = await readBody(c.req.raw, CALL_BYTES_MAX);
    if (asker.digest !== undefined && asker.digest !== bodyDigest(body)) {
      throw new AtollError("peer-refused", "wanted the body that was signed, got another");
    }
    const replies = await Promise.all(
      decodeRequests(body).map(async (message): Promise<CallReply> => {
        try {
          if (message instanceof AtollError) throw message;
          const reply = await handle(asker, message.trace, message.request);
          return reply.type === "chunk-put" || reply.type === "chunk-get"
            ? asReply(new Error(reply.type))
            : reply;
        } catch (error) {
          return asReply(error);
        }
      }),
    );
    return answer(asker, 200, joinFrames(replies.map(encodeReply)));
  });

  app.put(`${CHUNK_PATH}:id`, async (c) => {
    const id = chunkId(c);
    const asker = admit(c, CHUNK_PATH + id);
    const bytes = await readBody(c.req.raw, CHUNK_BYTES);
    return chunkAnswer(
      () => handle(asker, traceOf(asker), { type: "chunk-put", id, bytes }),
      (reply) => answer(asker, 200, Buffer.from(JSON.stringify(reply))),
    );
  });

  app.get(`${CHUNK_PATH}:id`, (c) => {
    const id = chunkId(c);
    const asker = admit(c, CHUNK_PATH + id);
    return chunkAnswer(() => handle(asker, traceOf(asker), { type: "chunk-get", id }), (reply) => {
      const bytes = reply.type === "chunk-get" ? reply.bytes : undefined;
      // No digest here either: the path says what the bytes must hash to, and who asked will look.
      return bytes
        ? answer(asker, 200, bytes, NO_DIGEST)
        : answer(asker, 404, new Uint8Array(0), NO_DIGEST);
    });
  });

  app.notFound((c) =>
    fault(
      new AtollError(
        "peer-garbage",
        `wanted a route between nodes, got ${c.req.method} ${c.req.path.slice(0, 200)}`,
      ),
      400,
    )
  );

  app.onError((error, c) => {
    const known = error instanceof AtollError ? error : new AtollError("internal", "see that node's log");
    const from = c.req.raw.headers.get(FROM_HEADER)?.slice(0, 256) ?? NONE;
    if (known === error) refusals.refused(from, known);
    else log.error("a peer's request failed", { from, reason: messageOf(error) });
    return fault(known, STATUS[known.code] ?? 500);
  });

  return app;
}

function answerHeaders(nodeId: string, ring: string): Record<string, string> {
  return { [PROTOCOL_HEADER]: String(PEER_PROTOCOL), [FROM_HEADER]: nodeId, [RING_HEADER]: ring };
}

function chunkId(c: Context): string {
  const id = c.req.param("id") ?? "";
  if (!isChunkId(id)) throw new AtollError("peer-garbage", `wanted a chunk's id, got ${id.slice(0, 100)}`);
  return id;
}

function traceOf({ request: { trace } }: Asker): string | undefined {
  return trace === NONE ? undefined : trace;
}
