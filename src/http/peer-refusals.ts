/** Refused peers: each in the log once an hour for each reason, as who is refused asks again every second; all are counted. */
import type { Metrics } from "../node/metrics.ts";
import type { Clock, Log } from "../ports.ts";
import { countRefusal } from "./audit.ts";

const REMEMBERED_MAX = 256;
/** Whoever fills the memory must not keep all who come later out of the log for good. */
const REMEMBERED_MS = 3_600_000;

export class RefusalLog {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #told = new Set<string>();
  #sinceMs: number;

  constructor(deps: { log: Log; metrics: Metrics; clock: Clock }) {
    this.#log = deps.log;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
    this.#sinceMs = deps.clock.monotonicMs();
  }

  /** `from`: as the peer calls itself, so anything at all, or its address where it did not come to that. */
  refused(
    from: string,
    { code, message }: { readonly code: string; readonly message: string },
    address: string | undefined,
  ): void {
    countRefusal(this.#metrics, code);
    this.#forget();
    const id = `${from} ${code}`;
    if (this.#told.has(id) || this.#told.size >= REMEMBERED_MAX) return;
    this.#told.add(id);
    this.#log.warn("audit: a peer was refused", { from, code, reason: message, address });
    // Names can be made up: a stranger must not fill the log with them.
    if (this.#told.size === REMEMBERED_MAX) this.#log.warn("audit: further refused peers are not logged");
  }

  #forget(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#sinceMs < REMEMBERED_MS) return;
    this.#sinceMs = nowMs;
    this.#told.clear();
  }
}
