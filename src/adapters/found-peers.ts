/** What a discovery has found: bounded, each URL once, told when it changed. */
import type { Discovered, Log } from "../ports.ts";

/** Enough to meet a ring by, whose nodes tell of each other; less than a broken or hostile source could name. */
export const FOUND_MAX = 256;

export class FoundPeers {
  readonly #log: Log;
  #onFound: ((found: readonly Discovered[]) => void) | undefined;
  #told = "";
  #wasTooMany = false;

  constructor(log: Log) {
    this.#log = log;
  }

  start(onFound: (found: readonly Discovered[]) => void): void {
    this.#onFound = onFound;
  }

  stop(): void {
    this.#onFound = undefined;
  }

  /** All that is there now. The first 256 count: where a source shuffles its answers, the others have their turn too. */
  tell(found: Iterable<Discovered>): void {
    const byUrl = new Map<string, Discovered>();
    let isTooMany = false;
    for (const peer of found) {
      isTooMany = byUrl.size === FOUND_MAX && !byUrl.has(peer.url);
      if (isTooMany) break;
      byUrl.set(peer.url, peer);
    }
    if (isTooMany && !this.#wasTooMany) {
      this.#log.warn("more peers were found than are asked; the others are left out", { asked: FOUND_MAX });
    }
    this.#wasTooMany = isTooMany;
    const state = [...byUrl.values()].map(({ url, id, region }) => `${url} ${id} ${region}`).sort().join(
      "\n",
    );
    if (state === this.#told) return;
    this.#told = state;
    this.#onFound?.([...byUrl.values()]);
  }
}
