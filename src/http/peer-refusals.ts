/** Refused peers, and peers that refuse, in the log: each once for each reason, since it is asked again every second. */
import type { AtollError } from "../errors.ts";
import type { Log } from "../ports.ts";

const REMEMBERED_MAX = 256;

export class RefusalLog {
  readonly #log: Log;
  readonly #message: string;
  readonly #told = new Set<string>();

  constructor(log: Log, message = "a peer was refused") {
    this.#log = log;
    this.#message = message;
  }

  /** `peer`: as it calls itself, so anything at all, or where it is. */
  refused(
    peer: { readonly from: string } | { readonly peerUrl: string },
    { code, message }: AtollError,
  ): void {
    const id = `${Object.values(peer).join()} ${code}`;
    if (this.#told.has(id) || this.#told.size >= REMEMBERED_MAX) return;
    this.#told.add(id);
    this.#log.warn(this.#message, { ...peer, code, reason: message });
    // Names can be made up: a stranger must not fill the log with them.
    if (this.#told.size === REMEMBERED_MAX) this.#log.warn("further refused peers are not logged");
  }
}
