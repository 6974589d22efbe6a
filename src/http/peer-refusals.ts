/** Refused peers: each once in the log for each reason, since who is refused asks again every second; all are counted. */
import type { Metrics } from "../node/metrics.ts";
import type { Log } from "../ports.ts";
import { countRefusal } from "./audit.ts";

const REMEMBERED_MAX = 256;

export class RefusalLog {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #told = new Set<string>();

  constructor(log: Log, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** `from`: as the peer calls itself, so anything at all, or its address where it did not come to that. */
  refused(
    from: string,
    { code, message }: { readonly code: string; readonly message: string },
    address: string | undefined,
  ): void {
    countRefusal(this.#metrics, code);
    const id = `${from} ${code}`;
    if (this.#told.has(id) || this.#told.size >= REMEMBERED_MAX) return;
    this.#told.add(id);
    this.#log.warn("audit: a peer was refused", { from, code, reason: message, address });
    // Names can be made up: a stranger must not fill the log with them.
    if (this.#told.size === REMEMBERED_MAX) this.#log.warn("audit: further refused peers are not logged");
  }
}
