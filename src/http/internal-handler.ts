/** `/_/…`: what belongs to the node itself. */
import { AtollError, messageOf } from "../errors.ts";
import type { AtollNode } from "../node/node.ts";
import type { Clock, Log } from "../ports.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import { problem } from "./problem.ts";
import { handlePrewarm } from "./prewarm-handler.ts";
import { handlePurge } from "./purge-handler.ts";
import type { PublicRequest } from "./request.ts";
import { allowOfRing, handleRing } from "./ring-handler.ts";
import { parseTarget } from "./target.ts";

const READS = "GET, HEAD, OPTIONS";
const ROUTE = "/_/route/";

export class InternalHandler {
  readonly #node: AtollNode;
  readonly #log: Log;

  readonly #clock: Clock;

  constructor(node: AtollNode, log: Log, clock: Clock) {
    this.#node = node;
    this.#log = log;
    this.#clock = clock;
  }

  /** What may be asked of a page. */
  allow(path: string): string {
    if (path === "/_/scrub") return "GET, HEAD, POST, OPTIONS";
    if (path === "/_/purge" || path === "/_/prewarm") return "POST, OPTIONS";
    return allowOfRing(path) ?? READS;
  }

  /** Undefined for a method the page does not know. */
  handle(request: PublicRequest, path: string): Answer | Promise<Answer> | undefined {
    const reads = request.method === "GET" || request.method === "HEAD";
    if (path === "/_/scrub") {
      if (reads) return this.#scrubStatus(200);
      return request.method === "POST" ? this.#startScrub() : undefined;
    }
    if (path === "/_/purge") {
      return request.method === "POST" ? handlePurge(request, this.#node.purges) : undefined;
    }
    if (path === "/_/prewarm") {
      return request.method === "POST" ? handlePrewarm(request, this.#node, this.#clock) : undefined;
    }
    if (path.startsWith(ROUTE)) return reads ? this.#route(path.slice(ROUTE.length - 1)) : undefined;
    if (allowOfRing(path) !== undefined) return handleRing(request, path, this.#node.administration);
    return reads ? problem("not-found", "the node has no such page", request.id) : undefined;
  }

  #route(objectPath: string): Answer {
    const target = parseTarget(objectPath);
    if (target.kind !== "object") {
      throw new AtollError("invalid-key", `wanted ${ROUTE}{bucket}/{key}, got no key`);
    }
    const { bucket, key, name } = target;
    return jsonAnswer(200, { bucket, key, ...this.#node.routes.of(name) });
  }

  /** Answered at once: a scrub takes as long as reading the whole disk does. */
  #startScrub(): Answer {
    this.#node.repair.scrub.now().then(
      (report) => this.#log.info("scrubbed on demand", { ...report }),
      (error: unknown) => this.#log.warn("the scrub failed", { reason: messageOf(error) }),
    );
    return this.#scrubStatus(202);
  }

  #scrubStatus(status: number): Answer {
    return jsonAnswer(status, this.#node.repair.scrub.status);
  }
}
