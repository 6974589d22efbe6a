/**
 * So many connections to each of many servers; who comes to one that is full waits in line. Here and not with undici, whose
 * line nobody can leave: what had been given up would be kept there, and be answered for, until a connection is free.
 */

interface Line {
  free: number;
  readonly waiting: Set<() => void>;
}

export class ConnectionPlaces {
  readonly #each: number;
  readonly #lines = new Map<string, Line>();

  constructor(each: number) {
    this.#each = each;
  }

  /**
   * Resolves, in the order of coming, with what gives the place back; that may be called more than once. Rejects with the
   * signal's reason, should that come first.
   */
  async take(server: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    let line = this.#lines.get(server);
    if (!line) this.#lines.set(server, line = { free: this.#each, waiting: new Set() });
    if (line.free > 0) line.free--;
    else await turn(line, signal);
    let isHeld = true;
    return () => {
      if (isHeld) this.#give(server, line);
      isHeld = false;
    };
  }

  #give(server: string, line: Line): void {
    const [next] = line.waiting;
    if (next) return next();
    if (++line.free === this.#each) this.#lines.delete(server);
  }
}

function turn({ waiting }: Line, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      waiting.delete(go);
      signal.removeEventListener("abort", leave);
    };
    const go = (): void => {
      settle();
      resolve();
    };
    const leave = (): void => {
      settle();
      reject(signal.reason as Error);
    };
    waiting.add(go);
    signal.addEventListener("abort", leave);
  });
}
