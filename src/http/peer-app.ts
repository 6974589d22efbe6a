/**
 * The channel between nodes, as the node that is asked sees it: calls in batches, and chunks by their names. Whoever
 * asks is checked before a byte of the body is read.
 */
import { Buffer } from "node:buffer";
import { type Context, Hono } from "hono";
import { isChunkId } from "../core/manifest.ts";
import { AtollError, messageOf } from "../errors.ts";
import type { Clock, Log, PeerHandler, PeerReply, PeerRequest } from "../ports.ts";
import { Metrics } from "../node/metrics.ts";
import { addressOf } from "./audit.ts";
import { NO_DIGEST } from "./peer-auth.ts";
import {
  CALL_BYTES_MAX,
  type CallMessage,
  type CallReply,
  decodeRequests,
  encodeReply,
  errorReply,
  joinFrames,
} from "./peer-codec.ts";
import { IncomingChunks } from "./peer-chunks.ts";
import { type PeerEnv, readBody } from "./peer-connection.ts";
import { type Asker, PeerDoor } from "./peer-door.ts";
import {
  CALL_PATH,
  CHUNK_PATH,
  FROM_HEADER,
  NONE,
  type PeerSelf,
  readForRegion,
  readOwed,
} from "./peer-headers.ts";
import { PROTOCOLS, type Protocols } from "./peer-protocol.ts";
import { RefusalLog } from "./peer-refusals.ts";

export interface PeerAppDeps {
  readonly self: () => PeerSelf;
  /** Undefined: whoever can connect is trusted. */
  readonly secret: string | undefined;
  readonly handler: PeerHandler;
  readonly clock: Clock;
  readonly log: Log;
  /** Where those who are refused are noted; default: in `log`. */
  readonly refusals?: RefusalLog | undefined;
  /** Requests at a time; further ones are refused. Default: as many as come. */
  readonly maxConcurrentRequests?: number | undefined;
  /** Of the chunks among them; default: as many as come. */
  readonly bufferBytes?: number | undefined;
  readonly onLimit?: ((limit: "peer-requests" | "peer-buffers") => void) | undefined;
  /** What this node understands; by default what this build does. */
  readonly protocols?: Protocols | undefined;
}

type PeerContext = Context<{ Bindings: PeerEnv }>;

export function createPeerApp(deps: PeerAppDeps): Hono<{ Bindings: PeerEnv }> {
  const { handler, log, protocols = PROTOCOLS, maxConcurrentRequests = Infinity } = deps;
  const door = new PeerDoor({ ...deps, protocols });
  const { refusals = new RefusalLog({ ...deps, metrics: new Metrics() }) } = deps;
  const incoming = new IncomingChunks(deps.bufferBytes ?? Infinity, () => deps.onLimit?.("peer-buffers"));
  const app = new Hono<{ Bindings: PeerEnv }>();

  /** Never throws: a message that fails is an error reply, for itself only. */
  async function handle(
    asker: Asker,
    request: PeerRequest,
    { trace, layout }: { trace?: string | undefined; layout?: number | undefined },
  ): Promise<PeerReply> {
    try {
      door.checkMembership(asker, request.type);
      const reply = await handler({ node: asker.request.from, trace, layout }, request);
      const wanted = request.type === "ping" ? "pong" : request.type;
      if (reply.type === wanted || reply.type === "error") return reply;
      throw new Error(`broken invariant: ${wanted} was answered with ${reply.type}`);
    } catch (error) {
      if (error instanceof AtollError) return errorReply(error);
      log.error("a peer's request failed", {
        type: request.type,
        from: asker.request.from,
        reason: messageOf(error),
      });
      return { type: "error", code: "internal", message: "see that node's log" };
    }
  }

  let underWay = 0;
  app.use(async (c, next) => {
    if (underWay >= maxConcurrentRequests) {
      deps.onLimit?.("peer-requests");
      const detail =
        `wanted at most ${maxConcurrentRequests} requests of other nodes at a time, got one more`;
      return door.fault(endsOf(c), new AtollError("overloaded", detail));
    }
    underWay++;
    try {
      return await next();
    } finally {
      underWay--;
    }
  });

  app.post(CALL_PATH, async (c) => {
    const asker = door.admit(c.req.raw, CALL_PATH);
    const body = await readBody(c.req.raw, c.env ?? {}, CALL_BYTES_MAX);
    door.checkBody(asker, body);
    const replies = await Promise.all(
      decodeRequests(body, asker.dialect).map(
        async (message: CallMessage | AtollError): Promise<CallReply> => {
          if (message instanceof AtollError) return errorReply(message);
          return await handle(asker, message.request, message) as CallReply;
        },
      ),
    );
    return door.answer(
      c.env ?? {},
      asker,
      200,
      joinFrames(replies.map((reply) => encodeReply(reply, asker.dialect))),
    );
  });

  app.put(`${CHUNK_PATH}:id`, async (c) => {
    const { id, asker } = admitChunk(c);
    const owed = readOwed(asker.request);
    // Nothing compares the bytes with the id here: the handler refuses what does not match.
    const { bytes, computed, release } = await incoming.read(c.req.raw, c.env ?? {});
    const reply = await handle(asker, { type: "chunk-put", id, bytes, computed, owed }, traceOf(asker))
      .finally(release);
    if (reply.type === "error") return door.fault(endsOf(c), reply);
    return door.answer(c.env ?? {}, asker, 200, Buffer.from(JSON.stringify(reply)));
  });

  app.get(`${CHUNK_PATH}:id`, async (c) => {
    const { id, asker } = admitChunk(c);
    const forRegion = readForRegion(asker.request);
    const request = { type: "chunk-get", id, ...(forRegion && { forRegion }) } as const;
    const reply = await handle(asker, request, traceOf(asker));
    if (reply.type === "error") return door.fault(endsOf(c), reply);
    const bytes = reply.type === "chunk-get" ? reply.bytes : undefined;
    // No digest here either: the path says what the bytes must hash to, and who asked will look.
    return door.answer(c.env ?? {}, asker, bytes ? 200 : 404, bytes ?? new Uint8Array(0), NO_DIGEST);
  });

  function admitChunk(c: PeerContext): { id: string; asker: Asker } {
    const id = c.req.param("id") ?? "";
    if (!isChunkId(id)) throw new AtollError("peer-garbage", `wanted a chunk's id, got ${id.slice(0, 100)}`);
    return { id, asker: door.admit(c.req.raw, CHUNK_PATH + id) };
  }

  app.notFound((c) => {
    const got = `${c.req.method} ${c.req.path.slice(0, 200)}`;
    return door.fault(
      endsOf(c),
      new AtollError("peer-garbage", `wanted a route between nodes, got ${got}`),
    );
  });

  app.onError((error, c) => {
    const from = c.req.raw.headers.get(FROM_HEADER)?.slice(0, 256) ?? NONE;
    if (error instanceof AtollError) {
      const asksAgain = error.code === "wrong-protocol" && door.isNeighbour(c.req.raw);
      if (!asksAgain) refusals.refused(from, error, addressOf(c.env ?? {}));
      return door.fault(endsOf(c), error);
    }
    log.error("a peer's request failed", { from, reason: messageOf(error) });
    return door.fault(endsOf(c), new AtollError("internal", "see that node's log"));
  });

  return app;
}

function endsOf(c: PeerContext): { env: PeerEnv; raw: Request } {
  return { env: c.env ?? {}, raw: c.req.raw };
}

function traceOf({ request: { trace } }: Asker): { trace?: string } {
  return trace === NONE ? {} : { trace };
}
