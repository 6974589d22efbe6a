/** How far this node is with what a moving layout gives it, as a scrape sees it. */
import { doneRatio, type Move } from "../../core/move-estimate.ts";
import type { Metrics } from "../metrics.ts";

/** `move`: undefined while nothing moves, or nothing more. */
export function measureMove(metrics: Metrics, move: () => Move | undefined): void {
  metrics.gauge(
    "atoll_takeover_ratio",
    "How much this node has of what a moving layout gives it, from 0 to 1; 1 while there is nothing to take over",
    () => {
      const found = move();
      return found ? doneRatio(found) : 1;
    },
  );
  metrics.gauge(
    "atoll_takeover_partitions_left",
    "Partitions whose registers this node has yet to take over as a layout moves",
    () => move()?.partitionsLeft ?? 0,
  );
  metrics.gauge(
    "atoll_takeover_bytes",
    "Bytes of chunks that this node has fetched since the layout began to move",
    () => move()?.bytesDone ?? 0,
  );
  metrics.gauge(
    "atoll_takeover_bytes_left",
    "Bytes of chunks that this node has yet to fetch as a layout moves, about",
    () => move()?.bytesLeft ?? 0,
  );
  metrics.gauge(
    "atoll_takeover_seconds_left",
    "Until this node has all that a moving layout gives it, if it goes on as it went; -1: nothing says it yet",
    () => {
      const found = move();
      return found ? found.etaSeconds ?? -1 : 0;
    },
  );
}
