/**
 * Who is reading which content here, and how far each has come: what was fetched for one of them is worth keeping while
 * others are known to come by it.
 */

export interface Reader {
  /** The chunks before it were asked for. */
  next: number;
  readonly last: number;
}

export class Audiences {
  /** By the content's SHA-256. */
  readonly #readers = new Map<string, Set<Reader>>();

  /** Whoever enters has to leave. */
  enter(sha256: string, reader: Reader): void {
    const readers = this.#readers.get(sha256);
    if (readers) readers.add(reader);
    else this.#readers.set(sha256, new Set([reader]));
  }

  leave(sha256: string, reader: Reader): void {
    const readers = this.#readers.get(sha256);
    if (readers?.delete(reader) && readers.size === 0) this.#readers.delete(sha256);
  }

  /** Whether somebody has yet to ask for that chunk. */
  awaits(sha256: string, index: number): boolean {
    for (const { next, last } of this.#readers.get(sha256) ?? []) {
      if (next <= index && index <= last) return true;
    }
    return false;
  }
}
