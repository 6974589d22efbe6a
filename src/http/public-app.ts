/** The public interface: a Hono app made from a node. */
import { Hono } from "hono";
import { parseRequestDirectives } from "../core/freshness.ts";
import type { LoadShedder } from "../core/load-shedder.ts";
import { AtollError, messageOf } from "../errors.ts";
import { Buckets } from "../node/bucket-settings.ts";
import { BucketUsage } from "../node/bucket-usage.ts";
import type { AtollNode } from "../node/node.ts";
import type { Clock, Log, Random } from "../ports.ts";
import { AccessLog } from "./access-log.ts";
import {
  addRateFields,
  Admission,
  type AdmissionLimits,
  type Admitted,
  type LimitName,
  TurnedAway,
  turnedAway,
  uncounted,
} from "./admission.ts";
import { type Answer, type ConnectionEnv, send } from "./answer.ts";
import { Audit } from "./audit.ts";
import { bucketSettingsForm } from "./bucket-settings-form.ts";
import { type AccessDeps, type Knock, PublicDoor, type Visitor } from "./door.ts";
import { GetHandler } from "./get-handler.ts";
import { ListHandler } from "./list-handler.ts";
import { InternalHandler } from "./internal-handler.ts";
import { OriginHandler } from "./origin-handler.ts";
import { OpenDoor } from "./open-door.ts";
import { probeAnswer } from "./probes.ts";
import { problem, publicError } from "./problem.ts";
import { NOSNIFF, Protection } from "./protection.ts";
import { Quotas } from "./quota.ts";
import { redactedTarget } from "./redaction.ts";
import { type PublicRequest, ReceivedRequest, requestIdOf } from "./request.ts";
import { SendingOn, type SendingOnSettings } from "./sending-on.ts";
import { ALLOW, parseTarget, routeOf, type Target } from "./target.ts";
import { TurningAway } from "./turning-away.ts";
import { forPresigned, veiled, veiledError } from "./visitor-answers.ts";
import { WriteHandler } from "./write-handler.ts";

export interface PublicAppDeps {
  readonly node: AtollNode;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Takes finished lines of the access log. */
  readonly writeLine: (line: string) => void;
  readonly maxObjectBytes: number;
  readonly limits: AdmissionLimits;
  /** Undefined: requests are never turned away for lateness. */
  readonly shedder?: LoadShedder | undefined;
  /** Default: every answer is given here. */
  readonly routing?: SendingOnSettings | undefined;
  /** True from the moment the node was told to stop. */
  readonly isDraining: () => boolean;
  /** Undefined: whoever reaches the app may do everything. */
  readonly access?: AccessDeps | undefined;
  /** Listens for this machine only. */
  readonly isOnLoopback?: boolean;
}

export interface PublicApp extends Hono<{ Bindings: ConnectionEnv }> {
  /** As `fetch`, for a listener that has no Request made of what it reads: the answer is written to `outgoing`. */
  readonly read: (env: ConnectionEnv) => Response | Promise<Response>;
  /** Requests under way, less those whose answer was at hand. */
  readonly running: () => number;
  /** For the listener: which requests it need not make anything of. */
  readonly overload: TurningAway;
  /** Notes what a listener refused before it was a request; gives the ID that the answer shall carry. */
  readonly refused: (refusal: { status: number; code: string }) => string;
}

export function createPublicApp(deps: PublicAppDeps): PublicApp {
  const app = new Hono<{ Bindings: ConnectionEnv }>();
  const handler = new PublicHandler(deps);
  app.all("*", (c) => handler.handle(c.env ?? {}, c.req.raw));
  return Object.assign(app, {
    read: (env: ConnectionEnv) => handler.handle(env),
    running: () => handler.running,
    overload: handler.overload,
    refused: (refusal: { status: number; code: string }) => handler.refused(refusal),
  });
}

/** A request from its coming until its answer was sent. */
interface Exchange {
  readonly env: ConnectionEnv;
  readonly request: ReceivedRequest;
  /** Monotonic, ms. */
  readonly begunMs: number;
  /** Undefined until it could be read, if it can be. */
  target: Target | undefined;
  admitted: Admitted | undefined;
}

class PublicHandler {
  readonly overload: TurningAway;
  readonly #deps: PublicAppDeps;
  readonly #access: AccessLog;
  readonly #audit: Audit;
  readonly #door: PublicDoor | OpenDoor;
  readonly #admission: Admission;
  readonly #buckets: Buckets;
  readonly #protection: Protection;
  readonly #get: GetHandler;
  readonly #write: WriteHandler;
  readonly #list: ListHandler;
  readonly #internal: InternalHandler;
  /** Ids are unique by this start's random part and a count: cheap, and never twice. */
  readonly #idPrefix: string;
  #count = 0;

  constructor(deps: PublicAppDeps) {
    const { node, random, clock, limits, shedder, maxObjectBytes, writeLine } = deps;
    const wallMs = () => clock.wallMs();
    this.#deps = deps;
    this.#access = new AccessLog({ metrics: node.metrics, write: writeLine, wallMs });
    this.#audit = new Audit({ log: deps.log, clock, metrics: node.metrics });
    this.#admission = new Admission({ limits, shedder, clock, metrics: node.metrics });
    const buckets = new Buckets(node.documents.ofKind("buckets", bucketSettingsForm));
    const origins = new OriginHandler({ objects: node.objects, origins: node.origins, wallMs });
    const sendingOn = new SendingOn(node, deps.routing ?? { mode: "here", minBytes: Infinity });
    const counts = (limit: LimitName) => () => this.#admission.count(limit);
    this.#get = new GetHandler({
      objects: node.objects,
      buckets,
      origins,
      random,
      wallMs,
      sendingOn,
      onTooManyRanges: counts("range-count"),
    });
    const enter = (knock: Knock, isStranger: boolean) => this.#enter(knock, isStranger);
    const publicUrl = () => node.card().publicUrl;
    const doorDeps = { buckets, audit: this.#audit, wallMs, enter, publicUrl };
    this.#door = deps.access
      ? new PublicDoor(deps.access, doorDeps)
      : new OpenDoor({ ...doorDeps, isOnLoopback: deps.isOnLoopback ?? false });
    this.#buckets = buckets;
    this.#protection = new Protection(buckets);
    const quotas = new Quotas({
      usage: new BucketUsage({ listings: node.listings, clock, log: deps.log }),
      objects: node.objects,
      onRefused: counts("quota"),
    });
    this.#write = new WriteHandler({
      objects: node.objects,
      buckets,
      quotas,
      origins: node.origins,
      maxObjectBytes,
      onTooLarge: counts("object-size"),
      wallMs,
    });
    this.#list = new ListHandler(node.listings, counts("listing-size"));
    const presign = deps.access && { keys: deps.access.keys, wallMs, publicUrl };
    this.#internal = new InternalHandler(node, buckets, deps.log, clock, presign);
    this.#idPrefix = random.hex(8);
    this.overload = new TurningAway({
      admission: this.#admission,
      access: this.#access,
      clock,
      log: deps.log,
      requestId: (given) => requestIdOf(given, this.#idPrefix + this.#nextNumber()),
    });
  }

  /** `raw`: of a request that came over no socket. */
  handle(env: ConnectionEnv, raw?: Request): Response | Promise<Response> {
    const begunMs = this.#deps.clock.monotonicMs();
    const number = this.#nextNumber();
    const request = new ReceivedRequest(env, raw, number, this.#idPrefix + number);
    const exchange: Exchange = { env, request, begunMs, target: undefined, admitted: undefined };
    this.#access.active++;
    try {
      const target = parseTarget(request.target);
      exchange.target = target;
      const admitted = target.kind === "probe" ? uncounted() : this.#admission.client(request, env);
      if ("status" in admitted) return this.#protected(exchange, admitted);
      exchange.admitted = admitted;
      const answer = this.#route({ env, raw, request, target, sent: request.target, admitted });
      if (!(answer instanceof Promise)) return this.#protected(exchange, answer);
      return answer.then(
        (given) => this.#protected(exchange, given),
        (error: unknown) => this.#protected(exchange, this.#failed(error, request)),
      );
    } catch (error) {
      return this.#protected(exchange, this.#failed(error, request));
    }
  }

  #protected(exchange: Exchange, answer: Answer): Response | Promise<Response> {
    const { target, request, admitted } = exchange;
    const bucket = target?.kind === "object" || target?.kind === "bucket" ? target.bucket : undefined;
    const safe = bucket === undefined ? answer : this.#protection.of(request, bucket, answer, admitted);
    return safe instanceof Promise
      ? safe.then((known) => this.#finish(exchange, known))
      : this.#finish(exchange, safe);
  }

  get running(): number {
    return this.#admission.running;
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

  #route(knock: Knock): Answer | Promise<Answer> {
    const { request, target } = knock;
    const { method } = request;
    // Whether a node lives must be told while it drains or is full, too.
    if (target.kind === "probe") return this.#admitted(knock);
    if (this.#deps.isDraining()) {
      throw new AtollError("draining", "this node is shutting down; others serve on");
    }
    const isRead = target.kind === "object" && (method === "GET" || method === "HEAD");
    if (isRead || (target.kind === "internal" && method !== "OPTIONS")) return this.#admitted(knock);
    if (method !== "OPTIONS") return this.#entered(knock, () => this.#admitted(knock));
    const answer = () => ({ status: 204, headers: { Allow: this.#allow(target) } });
    // Which have no credentials, and are answered by what their bucket is set to.
    return this.#entered(knock, answer, "bucket" in target && !this.#buckets.isAtHand(target.bucket));
  }

  #entered(
    { request, admitted }: Knock,
    begin: () => Answer | Promise<Answer>,
    isStranger = false,
  ): Answer | Promise<Answer> {
    const refused = admitted && this.#admission.enter(request, admitted, this.#access.active, isStranger);
    if (refused instanceof Promise) return refused.then((answer) => answer ?? begin());
    return refused ?? begin();
  }

  /** For the door. At once where it can be: of many that come together each counts no longer than it takes. */
  #enter({ request, admitted }: Knock, isStranger: boolean): Promise<void> | undefined {
    const refused = admitted && this.#admission.enter(request, admitted, this.#access.active, isStranger);
    if (refused instanceof Promise) return refused.then(turnedAway);
    return turnedAway(refused);
  }

  #admitted(knock: Knock): Answer | Promise<Answer> {
    const visitor = this.#door.admit(knock);
    return visitor instanceof Promise
      ? visitor.then((known) => this.#answerTo(knock, known))
      : this.#answerTo(knock, visitor);
  }

  #answerTo(knock: Knock, visitor: Visitor): Answer | Promise<Answer> {
    const { target, request, admitted } = knock;
    if (admitted) admitted.isPastDoor = true;
    if (this.#deps.access) request.enter(visitor.key !== undefined);
    if (target.kind === "probe") {
      const reads = request.method === "GET" || request.method === "HEAD";
      return reads ? probeAnswer(target.path, this.#deps) : this.#notAllowed(request, target);
    }
    const refused = admitted && visitor.key && this.#admission.key(request, visitor.key.id, admitted);
    if (refused) return refused;
    if (target.kind === "internal") return this.#ownPage(knock, target, visitor);
    const answer = this.#answer(knock, target, visitor);
    if (!visitor.isBlind && !visitor.presigned) return answer;
    const shown = (given: Answer) => visitor.isBlind ? veiled(given, request.id) : forPresigned(given);
    if (!(answer instanceof Promise)) return shown(answer);
    return answer.then(shown, (error: unknown) => {
      throw veiledError(error);
    });
  }

  #answer(
    knock: Knock,
    target: Exclude<Target, { kind: "probe" | "internal" }>,
    visitor: Visitor,
  ): Answer | Promise<Answer> {
    const { request } = knock;
    const { method } = request;
    const reads = method === "GET" || method === "HEAD";
    if (reads && target.kind === "object") {
      const directives = parseRequestDirectives(request.header("cache-control"));
      // What is at hand costs no more than to say no.
      return this.#get.atHand(request, target, directives) ??
        this.#entered(knock, () => this.#get.handle(request, target, directives));
    }
    switch (target.kind) {
      case "object":
        if (method === "PUT") return this.#write.put(request, target, visitor.presigned?.maxBytes);
        if (method === "DELETE") return this.#write.delete(request, target);
        break;
      case "bucket":
        if (reads) return this.#list.objects(request, target.bucket, target.query);
        if (method === "PUT" || method === "DELETE") {
          throw new AtollError("invalid-key", "wanted a key after the bucket, got an empty one");
        }
        break;
      case "root":
        if (reads) return this.#list.buckets(request, target.query, visitor.listed);
    }
    return this.#notAllowed(request, target);
  }

  /** What changes something there, or tried to, is told of. */
  #ownPage(
    knock: Knock,
    target: Extract<Target, { kind: "internal" }>,
    visitor: Visitor,
  ): Answer | Promise<Answer> {
    const { env, request, sent, admitted } = knock;
    const handle = () =>
      this.#internal.handle(request, target.path, target.query, visitor) ?? this.#notAllowed(request, target);
    const isHeard = admitted !== undefined && this.#admission.enterOperator(admitted);
    const answer = isHeard ? handle() : this.#entered(knock, handle);
    if (request.method === "GET" || request.method === "HEAD") return answer;
    const told = (status: number, location?: string) =>
      this.#audit.administered({ env, request, target: sent, keyId: visitor.key?.id }, status, location);
    return Promise.resolve(answer).then((given) => {
      told(given.status, given.headers["Location"]);
      return given;
    }, (error: unknown) => {
      const failed = this.#failed(error, request);
      told(failed.status);
      return failed;
    });
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

  #failed(error: unknown, request: PublicRequest): Answer {
    if (error instanceof TurnedAway) return error.answer;
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

  #finish({ env, request, target, begunMs, admitted }: Exchange, answer: Answer): Response {
    // An answer made for this request alone: the id can be added in place.
    const headers = answer.headers as Record<string, string>;
    headers["X-Request-Id"] = request.id;
    headers["X-Content-Type-Options"] = NOSNIFF["X-Content-Type-Options"];
    if (admitted?.headers) addRateFields(headers, admitted.headers);
    const response = send(env, answer, request.method === "HEAD", this.#deps.log, (bytesOut, complete) => {
      this.#access.active--;
      if (admitted) this.#admission.done(admitted);
      this.#access.record({
        method: request.method,
        route: routeOf(target),
        path: redactedTarget(request.target),
        status: answer.status,
        bytesIn: request.bodyBytes,
        bytesOut,
        complete,
        tookMs: this.#deps.clock.monotonicMs() - begunMs,
        requestId: request.id,
        traceId: request.traceId,
        cacheStatus: headers["Cache-Status"],
        code: answer.code,
      });
    });
    // Deno (2.9) waits for a body that nobody reads, and for all requests behind it; few GETs have one.
    const hasBody = request.header("content-length") ?? request.header("transfer-encoding");
    if (answer.status >= 400 || hasBody !== undefined) request.body.discard();
    return response;
  }
}
