/** How late this process is at its work: whoever waits for the event loop waits for so long. */

const INTERVAL_MS = 20;

/** Tells it about fifty times a second, or as often as it gets to it, for as long as the process runs. Ms. */
export function watchLateness(observe: (latenessMs: number) => void): void {
  let dueMs = performance.now() + INTERVAL_MS;
  const look = (): void => {
    const nowMs = performance.now();
    observe(Math.max(0, nowMs - dueMs));
    dueMs = nowMs + INTERVAL_MS;
    setTimeout(look, INTERVAL_MS).unref();
  };
  setTimeout(look, INTERVAL_MS).unref();
}
