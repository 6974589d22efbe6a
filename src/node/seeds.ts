/** Peer URLs that discovery found, as membership asks for them. */
import type { Discovered, Discovery, Log } from "../ports.ts";

/** Pinged at each beat; of more than that, others at the next: a source that lies must not make a storm. */
const SEEDS_AT_ONCE = 32;
/** Named in the log. */
const NAMED_MAX = 8;

export class Seeds {
  readonly #discovery: Discovery | undefined;
  readonly #log: Log;
  #urls: readonly string[] = [];
  #next = 0;

  constructor(discovery: Discovery | undefined, log: Log) {
    this.#discovery = discovery;
    this.#log = log;
  }

  start(): void {
    this.#discovery?.start((found) => {
      this.#urls = found.map(({ url }) => url);
      const peers = found.slice(0, NAMED_MAX).map(nameOf).join(", ");
      this.#log.info("peers found", { found: found.length, peers });
    });
  }

  stop(): void {
    void this.#discovery?.stop();
  }

  /** All of them, or so many in turn. */
  next(): readonly string[] {
    const urls = this.#urls;
    if (urls.length <= SEEDS_AT_ONCE) return urls;
    const first = this.#next % urls.length;
    this.#next = first + SEEDS_AT_ONCE;
    return [...urls, ...urls].slice(first, first + SEEDS_AT_ONCE);
  }
}

function nameOf({ url, id, region }: Discovered): string {
  if (id === undefined) return url;
  return region === undefined ? id : `${id} in ${region}`;
}
