/** `/_/…`: what belongs to the node itself. */
import { AtollError, messageOf } from "../errors.ts";
import type { AtollNode } from "../node/node.ts";
import type { Clock, Log } from "../ports.ts";
import type { Buckets } from "../node/bucket-settings.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import { allowOfBuckets, handleBuckets } from "./bucket-handler.ts";
import { aboutOf, PRESIGN, ROUTE } from "./internal-pages.ts";
import { allowOfKeys, handleKeys } from "./keys-handler.ts";
import { handlePresign, type PresignDeps } from "./presign-handler.ts";
import { problem } from "./problem.ts";
import { handlePrewarm } from "./prewarm-handler.ts";
import { handlePurge } from "./purge-handler.ts";
import type { Visitor } from "./door.ts";
import type { PublicRequest } from "./request.ts";
import { allowOfRing, handleRing } from "./ring-handler.ts";

const READS = "GET, HEAD, OPTIONS";

export class InternalHandler {
  readonly #node: AtollNode;
  readonly #buckets: Buckets;
  readonly #log: Log;
  readonly #presign: PresignDeps | undefined;

  readonly #clock: Clock;

  /** `presign`: undefined where nobody is asked for credentials. */
  constructor(node: AtollNode, buckets: Buckets, log: Log, clock: Clock, presign?: PresignDeps) {
    this.#node = node;
    this.#buckets = buckets;
    this.#log = log;
    this.#presign = presign;
    this.#clock = clock;
  }

  /** What may be asked of a page. */
  allow(path: string): string {
    if (path === "/_/scrub") return "GET, HEAD, POST, OPTIONS";
    if (path === "/_/purge" || path === "/_/prewarm" || path === PRESIGN) return "POST, OPTIONS";
    return allowOfKeys(path) ?? allowOfRing(path) ?? allowOfBuckets(path) ?? READS;
  }

  /** Undefined for a method the page does not know. */
  handle(
    request: PublicRequest,
    path: string,
    query: string,
    visitor: Visitor,
  ): Answer | Promise<Answer> | undefined {
    const reads = request.method === "GET" || request.method === "HEAD";
    if (path === "/_/scrub") {
      if (reads) return this.#scrubStatus(200);
      return request.method === "POST" ? this.#startScrub() : undefined;
    }
    if (path === "/_/purge") {
      return request.method === "POST"
        ? handlePurge(request, { ...this.#node, buckets: this.#buckets })
        : undefined;
    }
    if (path === "/_/prewarm") {
      return request.method === "POST" ? handlePrewarm(request, this.#node, this.#clock) : undefined;
    }
    if (path === PRESIGN) return request.method === "POST" ? this.#signed(request, visitor) : undefined;
    if (path.startsWith(ROUTE)) return reads ? this.#route(path) : undefined;
    if (allowOfKeys(path) !== undefined) return handleKeys(request, path, this.#presign?.keys);
    if (allowOfBuckets(path) !== undefined) return handleBuckets(request, path, query, this.#buckets);
    if (allowOfRing(path) !== undefined) return handleRing(request, path, this.#node.administration);
    return reads ? problem("not-found", "the node has no such page", request.id) : undefined;
  }

  #signed(request: PublicRequest, { key }: Visitor): Answer | Promise<Answer> {
    if (this.#presign && key) return handlePresign(request, key, this.#presign);
    throw new AtollError(
      "refused",
      "wanted a node that asks for credentials (ATOLL_KEYS), got one that is open",
    );
  }

  #route(path: string): Answer {
    const { bucket, key, name } = aboutOf(path)!;
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
