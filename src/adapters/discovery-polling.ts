/** A discovery that asks again and again. */
import type { Clock, Discovered, Discovery, Log } from "../ports.ts";
import { FoundPeers } from "./found-peers.ts";

/** Between two questions; what Fly.io's and most registries' records are valid for. */
const REFRESH_MS = 5_000;
/** As long as nothing was found. */
const FIRST_MS = 1_000;

export interface PollingDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Ms between two questions. */
  readonly refreshMs?: number | undefined;
}

/** `find` never rejects, and says nothing where nothing is known. */
export function createPollingDiscovery(
  { clock, log, refreshMs = REFRESH_MS }: PollingDeps,
  find: () => Promise<readonly Discovered[]>,
): Discovery {
  const peers = new FoundPeers(log);
  let isStopped = false;
  let stopTimer = () => {};
  let round = Promise.resolve();

  async function ask(): Promise<void> {
    const found = await find();
    if (isStopped) return;
    if (found.length > 0) peers.tell(found);
    const waitMs = found.length > 0 ? refreshMs : Math.min(FIRST_MS, refreshMs);
    stopTimer = clock.after(waitMs, () => {
      round = ask();
    });
  }

  return {
    start(onFound) {
      peers.start(onFound);
      round = ask();
    },
    async stop() {
      isStopped = true;
      peers.stop();
      stopTimer();
      await round;
    },
  };
}
