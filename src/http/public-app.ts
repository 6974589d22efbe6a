/** The public interface: a Hono app made from a node. */
import { Hono } from "hono";
import { parseRequestDirectives } from "../core/freshness.ts";
import { AtollError, messageOf } from "../errors.ts";
import type { AtollNode } from "../node/node.ts";
import type { Clock, Log, Random } from "../ports.ts";
import { AccessLog } from "./access-log.ts";
import { type Answer, type ConnectionEnv, jsonAnswer, send, textAnswer } from "./answer.ts";
import { GetHandler } from "./get-handler.ts";
import { ListHandler } from "./list-handler.ts";
import { InternalHandler } from "./internal-handler.ts";
import { problem, publicError } from "./problem.ts";
import { headerNames, headerReader, type PublicRequest, RequestBody } from "./request.ts";
import { SendingOn, type SendingOnSettings } from "./sending-on.ts";
import { parseTarget, routeOf, type Target } from "./target.ts";
import { continueTrace } from "./traceparent.ts";
import { WriteHandler } from "./write-handler.ts";

export interface PublicAppDeps {
  readonly node: AtollNode;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Takes finished lines of the access log. */
  readonly writeLine: (line: string) => void;
  readonly maxObjectBytes: number;
  readonly maxConcurrentRequests: number;
  /** Default: every answer is given here. */
  readonly routing?: SendingOnSettings | undefined;
  /** True from the moment the node was told to stop. */
  readonly isDraining: () => boolean;
}

/** RFC 9110 section 5.5's visible characters, less those that would need quoting in a log line. */
const REQUEST_ID = /^[A-Za-z0-9._:/+=@-]{1,128}$/;
const ALLOW: Record<Exclude<Target["kind"], "internal">, string> = {
  root: "GET, HEAD, OPTIONS",
  bucket: "GET, HEAD, OPTIONS",
  object: "GET, HEAD, PUT, DELETE, OPTIONS",
  probe: "GET, HEAD, OPTIONS",
};

export interface PublicApp extends Hono<{ Bindings: ConnectionEnv }> {
  /** Notes what a listener refused before it was a request; gives the ID that the answer shall carry. */
  readonly refused: (refusal: { status: number; code: string }) => string;
}

export function createPublicApp(deps: PublicAppDeps): PublicApp {
  const app = new Hono<{ Bindings: ConnectionEnv }>();
  const handler = new PublicHandler(deps);
  app.all("*", (c) => handler.handle(c.env ?? {}, c.req.raw));
  return Object.assign(app, {
    refused: (refusal: { status: number; code: string }) => handler.refused(refusal),
  });
}

class PublicHandler {
  readonly #deps: PublicAppDeps;
  readonly #access: AccessLog;
  readonly #get: GetHandler;
  readonly #write: WriteHandler;
  readonly #list: ListHandler;
  readonly #internal: InternalHandler;
  /** Ids are unique by this start's random part and a count: cheap, and never twice. */
  readonly #idPrefix: string;
  #count = 0;

  constructor(deps: PublicAppDeps) {
    const { node, random, clock, maxObjectBytes, writeLine } = deps;
    const wallMs = () => clock.wallMs();
    this.#deps = deps;
    this.#access = new AccessLog({ metrics: node.metrics, write: writeLine, wallMs });
    const sendingOn = new SendingOn(node, deps.routing ?? { mode: "here", minBytes: Infinity });
    this.#get = new GetHandler({ objects: node.objects, random, wallMs, sendingOn });
    this.#write = new WriteHandler({ objects: node.objects, maxObjectBytes, wallMs });
    this.#list = new ListHandler(node.listings);
    this.#internal = new InternalHandler(node, deps.log, clock);
    this.#idPrefix = random.hex(8);
  }

  handle(env: ConnectionEnv, raw: Request): Response | Promise<Response> {
    const begunMs = this.#deps.clock.monotonicMs();
    const { incoming } = env;
    const header = headerReader(env, raw);
    const path = incoming?.url ?? raw.url.slice(raw.url.indexOf("/", raw.url.indexOf("://") + 3));
    const number = this.#nextNumber();
    const given = header("x-request-id");
    const request: PublicRequest = {
      method: incoming?.method ?? raw.method,
      target: path,
      header,
      headerNames: () => headerNames(env, raw),
      id: given !== undefined && REQUEST_ID.test(given) ? given : `${this.#idPrefix}${number}`,
      trace: continueTrace(header("traceparent"), number, `${this.#idPrefix}${number}`),
      body: new RequestBody(env, raw),
    };
    let target: Target | undefined;
    this.#access.active++;
    const finish = (answer: Answer): Response => this.#finish(env, request, path, target, begunMs, answer);
    try {
      target = parseTarget(path);
      const answer = this.#route(request, target);
      if (!(answer instanceof Promise)) return finish(answer);
      return answer.then(finish, (error: unknown) => finish(this.#failed(error, request)));
    } catch (error) {
      return finish(this.#failed(error, request));
    }
  }

  refused({ status, code }: { status: number; code: string }): string {
    const id = this.#idPrefix + this.#nextNumber();
    this.#access.record({
      method: "",
      route: routeOf(undefined),
      path: "",
      status,
      bytesIn: 0,
      bytesOut: 0,
      complete: true,
      tookMs: 0,
      requestId: id,
      traceId: id,
      cacheStatus: undefined,
      code,
    });
    return id;
  }

  #nextNumber(): string {
    return (++this.#count).toString(16).padStart(16, "0");
  }

  #route(request: PublicRequest, target: Target): Answer | Promise<Answer> {
    const { method } = request;
    if (target.kind === "probe") return this.#probe(request, target.path);
    if (this.#deps.isDraining()) {
      throw new AtollError("draining", "this node is shutting down; others serve on");
    }
    if (this.#access.active > this.#deps.maxConcurrentRequests) {
      throw new AtollError(
        "overloaded",
        `${this.#deps.maxConcurrentRequests} requests are under way, the most there may be`,
      );
    }
    if (method === "OPTIONS") return { status: 204, headers: { Allow: this.#allow(target) } };
    const reads = method === "GET" || method === "HEAD";
    switch (target.kind) {
      case "object":
        if (reads) {
          return this.#get.handle(
            request,
            target.name,
            parseRequestDirectives(request.header("cache-control")),
          );
        }
        if (method === "PUT") return this.#write.put(request, target.name, target.key);
        if (method === "DELETE") return this.#write.delete(request, target.name);
        break;
      case "bucket":
        if (reads) return this.#list.objects(request, target.bucket, target.query);
        if (method === "PUT" || method === "DELETE") {
          throw new AtollError("invalid-key", "wanted a key after the bucket, got an empty one");
        }
        break;
      case "root":
        if (reads) return this.#list.buckets(request, target.query);
        break;
      case "internal": {
        const answer = this.#internal.handle(request, target.path);
        if (answer) return answer;
      }
    }
    return this.#notAllowed(request, target);
  }

  #allow(target: Target): string {
    return target.kind === "internal" ? this.#internal.allow(target.path) : ALLOW[target.kind];
  }

  #notAllowed(request: PublicRequest, target: Target): Answer {
    const allow = this.#allow(target);
    return problem("method-not-allowed", `wanted one of ${allow}, got ${request.method}`, request.id, {
      Allow: allow,
    });
  }

  #probe(request: PublicRequest, path: "livez" | "readyz" | "metrics"): Answer {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return this.#notAllowed(request, { kind: "probe", path });
    }
    if (path === "livez") return textAnswer(200, "ok\n");
    const { node, isDraining } = this.#deps;
    if (path === "metrics") {
      return textAnswer(200, node.metrics.text(), "text/plain; version=0.0.4; charset=utf-8");
    }
    // Not "no quorum": a node that lost its peers still serves what freshness allows, and says 503 for the rest itself.
    const reasons = [
      ...(isDraining() ? ["draining"] : []),
      ...(node.layout() ? [] : ["waiting for a ring: too few nodes see each other yet"]),
    ];
    return jsonAnswer(reasons.length === 0 ? 200 : 503, {
      ready: reasons.length === 0,
      reasons,
      node: node.id,
    });
  }

  #failed(error: unknown, request: PublicRequest): Answer {
    const { code, detail, expected } = publicError(error);
    if (!expected) {
      this.#deps.log.error("a request failed", {
        requestId: request.id,
        reason: messageOf(error),
        stack: error instanceof Error ? error.stack : undefined,
      });
    }
    return problem(code, detail, request.id);
  }

  #finish(
    env: ConnectionEnv,
    request: PublicRequest,
    path: string,
    target: Target | undefined,
    begunMs: number,
    answer: Answer,
  ): Response {
    // An answer made for this request alone: the id can be added in place.
    const headers = answer.headers as Record<string, string>;
    headers["X-Request-Id"] = request.id;
    const response = send(env, answer, request.method === "HEAD", this.#deps.log, (bytesOut, complete) => {
      this.#access.active--;
      this.#access.record({
        method: request.method,
        route: routeOf(target),
        path,
        status: answer.status,
        bytesIn: request.body.bytes,
        bytesOut,
        complete,
        tookMs: this.#deps.clock.monotonicMs() - begunMs,
        requestId: request.id,
        traceId: request.trace.traceId,
        cacheStatus: headers["Cache-Status"],
        code: answer.code,
      });
    });
    if (answer.status >= 400) request.body.discard();
    return response;
  }
}
