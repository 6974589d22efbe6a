/**
 * What a listener asks before it makes anything of a request. Whoever is turned away so is in the metrics like any other
 * request; of the log all of a second have one line together, as to write of each would cost what was to be saved.
 */
import type { Clock, Log } from "../ports.ts";
import type { AccessLog } from "./access-log.ts";
import type { Admission } from "./admission.ts";
import { routeOf } from "./target.ts";

const LINE_INTERVAL_MS = 1_000;

export interface TurningAwayDeps {
  readonly admission: Admission;
  readonly access: AccessLog;
  readonly clock: Clock;
  readonly log: Log;
  /** An ID for the answer: the client's own, if it is well-formed. */
  readonly requestId: (given: string | undefined) => string;
}

export class TurningAway {
  readonly #deps: TurningAwayDeps;
  #count = 0;

  constructor(deps: TurningAwayDeps) {
    this.#deps = deps;
  }

  /** Reads may be answered from memory, and what an operator asks must be heard. */
  isFull(method: string, target: string): boolean {
    if (method === "GET" || method === "HEAD" || target.startsWith("/_/")) return false;
    return this.#fullBy() !== undefined;
  }

  get isFlood(): boolean {
    return this.#deps.admission.isFlood;
  }

  turnAway(method: string, givenId: string | undefined): { requestId: string; retryAfterSeconds: number } {
    const { admission, access } = this.#deps;
    const requestId = this.#deps.requestId(givenId);
    access.count({
      method,
      route: routeOf(undefined),
      status: 503,
      bytesIn: 0,
      bytesOut: 0,
      tookMs: 0,
      cacheStatus: undefined,
    });
    if (this.#count++ === 0) this.#deps.clock.after(LINE_INTERVAL_MS, () => this.#write(requestId));
    return { requestId, retryAfterSeconds: admission.turnAway(this.#fullBy() ?? "lateness") };
  }

  #fullBy() {
    // The one that comes now is not among them yet.
    return this.#deps.admission.fullBy(this.#deps.access.active + 1);
  }

  #write(firstRequestId: string): void {
    this.#deps.log.warn("requests were turned away", {
      status: 503,
      code: "overloaded",
      count: this.#count,
      firstRequestId,
    });
    this.#count = 0;
  }
}
