/** Refused peers in the log: each once for each reason, since who is refused asks again every second. */
import type { AtollError } from "../errors.ts";
import type { Log } from "../ports.ts";

const REMEMBERED_MAX = 256;

export class RefusalLog {
  readonly #log: Log;
  readonly #told = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** `from`: as the peer calls itself, so anything at all. */
  refused(from: string, { code, message }: AtollError): void {
    const id = `${from} ${code}`;
    if (this.#told.has(id) || this.#told.size >= REMEMBERED_MAX) return;
    this.#told.add(id);
    this.#log.warn("a peer was refused", { from, code, reason: message });
    // Names can be made up: a stranger must not fill the log with them.
    if (this.#told.size === REMEMBERED_MAX) this.#log.warn("further refused peers are not logged");
  }
}
