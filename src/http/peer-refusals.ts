/** Refused peers, and peers that refuse: each in the log once an hour for each reason, as it is asked again every second. */
import type { Metrics } from "../node/metrics.ts";
import type { Clock, Log, LogFields } from "../ports.ts";
import { countRefusal } from "./audit.ts";

const REMEMBERED_MAX = 256;
/** Whoever fills the memory must not keep all who come later out of the log for good. */
const REMEMBERED_MS = 3_600_000;

interface Fault {
  readonly code: string;
  readonly message: string;
}

/** Lines of one kind about peers. */
export class PeerRemarks {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #message: string;
  readonly #told = new Set<string>();
  #sinceMs: number;

  constructor(deps: { log: Log; clock: Clock }, message: string) {
    this.#log = deps.log;
    this.#clock = deps.clock;
    this.#message = message;
    this.#sinceMs = deps.clock.monotonicMs();
  }

  /** `who`: told once for each reason. */
  tell(who: string, { code, message }: Fault, fields: LogFields): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#sinceMs >= REMEMBERED_MS) {
      this.#sinceMs = nowMs;
      this.#told.clear();
    }
    const id = `${who} ${code}`;
    if (this.#told.has(id) || this.#told.size >= REMEMBERED_MAX) return;
    this.#told.add(id);
    this.#log.warn(this.#message, { ...fields, code, reason: message });
    // Names can be made up: a stranger must not fill the log with them.
    if (this.#told.size === REMEMBERED_MAX) this.#log.warn(`${this.#message}: further ones are not logged`);
  }
}

/** Of peers that this node refuses; all are counted. */
export class RefusalLog {
  readonly #metrics: Metrics;
  readonly #remarks: PeerRemarks;

  constructor(deps: { log: Log; metrics: Metrics; clock: Clock }) {
    this.#metrics = deps.metrics;
    this.#remarks = new PeerRemarks(deps, "audit: a peer was refused");
  }

  /** `from`: as the peer calls itself, so anything at all, or its address where it did not come to that. */
  refused(from: string, fault: Fault, address: string | undefined): void {
    countRefusal(this.#metrics, fault.code);
    this.#remarks.tell(from, fault, { from, address });
  }
}
