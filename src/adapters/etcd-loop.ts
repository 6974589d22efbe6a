/** Something that is done with etcd for as long as a node runs, whether etcd is there or not. */
import { messageOf } from "../errors.ts";
import type { Clock, Log } from "../ports.ts";

/** After a failure. */
const RETRY_MS = 1_000;

export interface EtcdLoopDeps {
  readonly clock: Clock;
  readonly log: Log;
}

export class EtcdLoop {
  readonly #deps: EtcdLoopDeps;
  readonly #what: string;
  readonly #step: (stopped: AbortSignal) => Promise<number>;
  readonly #stopped = new AbortController();
  #wake = () => {};
  #isWoken = false;
  #isFailing = false;
  #end = Promise.resolve();

  /** `step` resolves with the ms until the next, and may reject; it is called again then. */
  constructor(deps: EtcdLoopDeps, what: string, step: (stopped: AbortSignal) => Promise<number>) {
    this.#deps = deps;
    this.#what = what;
    this.#step = step;
  }

  start(): void {
    this.#end = this.#run();
  }

  /** The next step comes at once. */
  wake(): void {
    this.#isWoken = true;
    this.#wake();
  }

  /** Resolves when the last step has ended. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#wake();
    await this.#end;
  }

  async #run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      this.#isWoken = false;
      await this.#pause(await this.#attempt());
    }
  }

  async #attempt(): Promise<number> {
    const { log } = this.#deps;
    try {
      const waitMs = await this.#step(this.#stopped.signal);
      if (this.#isFailing) log.info("etcd is back", { what: this.#what });
      this.#isFailing = false;
      return waitMs;
    } catch (error) {
      if (!this.#isFailing && !this.#stopped.signal.aborted) {
        log.warn("etcd does not do its part, what is known goes on", {
          what: this.#what,
          reason: messageOf(error),
        });
      }
      this.#isFailing = true;
      return RETRY_MS;
    }
  }

  async #pause(ms: number): Promise<void> {
    if (ms <= 0 || this.#isWoken || this.#stopped.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const stopTimer = this.#deps.clock.after(ms, resolve);
    await promise;
    stopTimer();
  }
}
