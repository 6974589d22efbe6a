/** Looks at a node from the side while it is attacked: does it answer, does it grow, what does it say of itself. */
import { setTimeout as delay } from "node:timers/promises";
import type { AtollProcess } from "../helpers/atoll-process.ts";
import { workedMsOf } from "../helpers/process-time.ts";
import { RawHttp } from "../helpers/raw-http.ts";

const PROBE_MS = 50;
/** More than a node says between two looks. */
const LINES_READ = 1_500;
const HANG_MS = 1_000;
const PROBE_DEADLINE_MS = 30_000;
/** Beyond this much more than after the first third something is kept that should not be. */
const GROWTH_BYTES_MAX = 192 << 20;
/** What the code says when an error came that nobody expected. */
const UNEXPECTED = /"message":"a (peer's )?request failed"|"code":"internal"/;

export interface WatchReport {
  readonly longestMs: number;
  readonly rssBytes: { readonly first: number; readonly warm: number; readonly last: number };
}

export class Watch {
  readonly #node: AtollProcess;
  readonly #onFailure: (what: string) => void;
  readonly #first: number;
  #warm = 0;
  #longestMs = 0;
  #seen = new Set<string>();
  #ended = false;
  readonly #over: Promise<void>;

  constructor(node: AtollProcess, onFailure: (what: string) => void) {
    this.#node = node;
    this.#onFailure = onFailure;
    this.#first = node.memory().rssBytes;
    void node.exited.then(({ code, signal }) => {
      if (!this.#ended) onFailure(`a crash: ${signal ?? code}\n${node.lines.slice(-20).join("\n")}`);
      this.#ended = true;
    });
    this.#over = this.#probe();
  }

  /** To be called when caches are full and code is compiled: what it grows from here on counts. */
  warm(): void {
    if (this.#warm === 0 && !this.#ended) this.#warm = this.#node.memory().rssBytes;
  }

  async end(): Promise<WatchReport> {
    const last = this.#ended ? 0 : this.#node.memory().rssBytes;
    this.#ended = true;
    await this.#over;
    const warm = this.#warm || last;
    if (last > warm + GROWTH_BYTES_MAX) {
      this.#onFailure(`memory grew from ${mib(warm)} MiB to ${mib(last)} MiB`);
    }
    return { longestMs: this.#longestMs, rssBytes: { first: this.#first, warm, last } };
  }

  /** On a connection of its own, which shares nothing with the others but the node. */
  async #probe(): Promise<void> {
    const connection = await RawHttp.open(this.#node.publicUrl);
    try {
      while (!this.#ended) {
        const [begunMs, idleMs] = [performance.now(), workedMsOf(this.#node.pid)];
        connection.head("GET", "/livez");
        const { status } = await connection.reply("GET", PROBE_DEADLINE_MS);
        const tookMs = performance.now() - begunMs;
        // On a machine that others use, too, only time in which the node itself was at work is its own.
        const workedMs = workedMsOf(this.#node.pid) - idleMs;
        this.#longestMs = Math.max(this.#longestMs, Math.min(tookMs, workedMs));
        if (status !== 200) this.#onFailure(`/livez answered ${status}`);
        if (Math.min(tookMs, workedMs) > HANG_MS) {
          this.#onFailure(`a hang: /livez took ${Math.round(tookMs)} ms, ${Math.round(workedMs)} ms of work`);
        }
        this.#readLog();
        await delay(PROBE_MS);
      }
    } catch (error) {
      if (!this.#ended) this.#onFailure(`a hang: ${String(error)}`);
    } finally {
      connection.cut();
    }
  }

  #readLog(): void {
    for (const line of this.#node.lines.slice(-LINES_READ)) {
      if (!UNEXPECTED.test(line)) continue;
      const reason = /"(?:reason|message)":"(?!a )[^"]*"/.exec(line)?.[0] ?? line;
      if (this.#seen.has(reason)) continue;
      this.#seen.add(reason);
      this.#onFailure(`an error nobody expected: ${line.slice(0, 2_000)}`);
    }
  }
}

function mib(bytes: number): number {
  return Math.round(bytes / (1 << 20));
}
