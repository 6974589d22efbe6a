/**
 * Who was turned away, and who changed something about the node: a line of the log each, without secrets. Refusals cost
 * nothing to provoke, so that only some a second are written and the others counted.
 */
import type { Metrics } from "../node/metrics.ts";
import type { Clock, Log } from "../ports.ts";
import type { ConnectionEnv } from "./answer.ts";
import { redactedTarget } from "./redaction.ts";
import type { PublicRequest } from "./request.ts";

export type RefusalReason =
  | "no-credentials"
  | "wrong-credentials"
  | "wrong-signature"
  | "out-of-time"
  | "ambiguous"
  | "cross-site"
  | "wrong-host"
  | "not-granted";

/** Lines at once, and from then on a second. */
const BURST = 50;
const LINES_PER_SECOND = 5;
const TARGET_CHARS_MAX = 300;
const ADDRESS = /^[0-9A-Fa-f:.]{2,45}(, ?[0-9A-Fa-f:.]{2,45}){0,3}$/;

/** What an entry says of the request. */
export interface AuditedRequest {
  readonly env: ConnectionEnv;
  readonly request: PublicRequest;
  /** As it was sent. */
  readonly target: string;
  /** Of a key that is known; anything else might be a secret that was put in the wrong place. */
  readonly keyId: string | undefined;
}

/** `reason`: one of a few, whatever clients send. */
export function countRefusal(metrics: Metrics, reason: string): void {
  const help =
    "Requests, and connections of peers, that were refused for want of credentials or grants, by reason";
  metrics.counter("atoll_access_refused_total", help, { reason }).add();
}

export class Audit {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  #tokens = BURST;
  #filledMs: number;
  #unwritten = 0;

  constructor(deps: { log: Log; clock: Clock; metrics: Metrics }) {
    this.#log = deps.log;
    this.#clock = deps.clock;
    this.#metrics = deps.metrics;
    this.#filledMs = deps.clock.monotonicMs();
  }

  refused(of: AuditedRequest, reason: RefusalReason, status: number): void {
    countRefusal(this.#metrics, reason);
    if (!this.#takeToken()) {
      this.#unwritten++;
      return;
    }
    const unwritten = this.#unwritten;
    this.#unwritten = 0;
    this.#log.warn("audit: refused", {
      reason,
      status,
      ...fieldsOf(of),
      ...(unwritten > 0 && { unwrittenBefore: unwritten }),
    });
  }

  /** `location`: of what was made. Each is written: who may do them need not be kept from filling the disk. */
  administered(of: AuditedRequest, status: number, location: string | undefined): void {
    this.#log.info("audit: administrative", {
      status,
      ...fieldsOf(of),
      ...(location !== undefined && { made: location }),
    });
  }

  #takeToken(): boolean {
    const nowMs = this.#clock.monotonicMs();
    this.#tokens = Math.min(BURST, this.#tokens + ((nowMs - this.#filledMs) / 1000) * LINES_PER_SECOND);
    this.#filledMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

function fieldsOf({ env, request, target, keyId }: AuditedRequest) {
  // What a proxy says of its client; anybody can say it, so it stands beside the address and not in its place.
  const said = request.header("fly-client-ip") ?? request.header("x-forwarded-for");
  return {
    key: keyId,
    method: request.method,
    target: redactedTarget(target).slice(0, TARGET_CHARS_MAX),
    from: addressOf(env),
    ...(said !== undefined && ADDRESS.test(said) && { forwardedFor: said }),
    requestId: request.id,
  };
}

interface WithAddress {
  readonly incoming?: { readonly socket?: { readonly remoteAddress?: string | undefined } } | undefined;
}

/** Undefined once the connection is gone, which of HTTP/2 cannot even be asked then. */
export function addressOf({ incoming }: WithAddress): string | undefined {
  try {
    return incoming?.socket?.remoteAddress;
  } catch {
    return undefined; // ERR_HTTP2_SOCKET_UNBOUND
  }
}
