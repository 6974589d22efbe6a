/** One at a time per key, in order of arrival; keys do not wait for each other. */
export class KeyedQueue {
  readonly #tails = new Map<string, Promise<void>>();

  /** Keys that have work. */
  get size(): number {
    return this.#tails.size;
  }

  /** Resolves when everything that is under way or waiting now has ended. */
  async drained(): Promise<void> {
    await Promise.all(this.#tails.values());
  }

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    let release!: () => void;
    const turn = new Promise<void>((resolve) => (release = resolve));
    // The tail is the newest holder's turn; whoever finds itself still the tail at its end removes the key.
    this.#tails.set(key, turn);
    try {
      if (before) await before;
      return await work();
    } finally {
      if (this.#tails.get(key) === turn) this.#tails.delete(key);
      release();
    }
  }
}
