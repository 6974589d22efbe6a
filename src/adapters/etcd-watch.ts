/**
 * A key, or all below a prefix, kept up to date by a watch. It is resumed where it ended, on whichever endpoint is there;
 * when etcd has compacted what came in between, or is another one than before, everything is listed anew.
 */
import { AtollError, isAtollError } from "../errors.ts";
import type { EtcdGateway } from "./etcd-gateway.ts";
import { EtcdLoop, type EtcdLoopDeps } from "./etcd-loop.ts";
import { type KeyRange, type KeyValue, rangeAnswer, watchMessage } from "./etcd-messages.ts";

/** A watch is begun anew after this: a connection that died silently says nothing of it. */
const WATCH_MS = 60_000;

export interface WatchOptions extends EtcdLoopDeps {
  readonly gateway: EtcdGateway;
  /** In the log. */
  readonly what: string;
  readonly range: KeyRange;
  /** Keys that are listed or remembered at most. */
  readonly keysMax: number;
  /** Values by key; the map is the watch's own and changes. */
  readonly onState: (values: ReadonlyMap<string, string>) => void;
  /** Ms of one watch. */
  readonly watchMs?: number | undefined;
}

export class EtcdWatch {
  readonly #options: WatchOptions;
  readonly #loop: EtcdLoop;
  readonly #values = new Map<string, string>();
  /** Everything up to it is known; undefined: nothing is. */
  #revision: number | undefined;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#loop = new EtcdLoop(options, options.what, (stopped) => this.#step(stopped));
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  async #step(stopped: AbortSignal): Promise<number> {
    if (this.#revision === undefined) await this.#list();
    else await this.#watch(this.#revision, stopped);
    return 0;
  }

  async #list(): Promise<void> {
    const { gateway, keysMax, onState, range } = this.#options;
    const { header, kvs } = await gateway.call(
      "/v3/kv/range",
      { ...range, limit: String(keysMax) },
      rangeAnswer,
    );
    this.#values.clear();
    for (const { key, value } of kvs) this.#values.set(key, value);
    this.#revision = header.revision;
    onState(this.#values);
  }

  async #watch(revision: number, stopped: AbortSignal): Promise<void> {
    const { clock, gateway, onState, range, watchMs = WATCH_MS } = this.#options;
    const over = new AbortController();
    let stopTimer = () => {};
    let fault: AtollError | undefined;
    try {
      await gateway.stream(
        "/v3/watch",
        { create_request: { ...range, start_revision: String(revision + 1) } },
        watchMessage,
        ({ result }) => {
          if (result.created) stopTimer = clock.after(watchMs, () => over.abort());
          // A store that is younger than what we know of it was restored or replaced.
          const isAnother = result.created && result.header.revision < revision;
          if (isAnother || result.compact_revision > 0) this.#revision = undefined;
          else if (result.canceled) fault = new AtollError("peer-refused", "etcd has ended the watch");
          if (isAnother || result.canceled) over.abort();
          for (const { type, kv } of result.events) this.#apply(type, kv);
          if (result.events.length > 0) onState(this.#values);
        },
        AbortSignal.any([over.signal, stopped]),
      );
    } catch (error) {
      // What came in between may be more than one message may hold, and would be every time.
      if (isAtollError(error, "peer-garbage")) this.#revision = undefined;
      throw error;
    } finally {
      stopTimer();
    }
    if (fault) throw fault;
    if (!over.signal.aborted && !stopped.aborted) {
      throw new AtollError("outcome-unknown", "wanted the watch to go on, etcd ended its stream");
    }
  }

  #apply(type: string, { key, value, mod_revision: revision }: KeyValue): void {
    if (type === "DELETE") this.#values.delete(key);
    else if (this.#values.has(key) || this.#values.size < this.#options.keysMax) this.#values.set(key, value);
    if (this.#revision !== undefined) this.#revision = Math.max(this.#revision, revision);
  }
}
