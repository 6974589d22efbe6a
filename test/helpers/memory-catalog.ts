/** The catalog's twin in memory: the same contract, nothing durable. */
import type { ChunkId } from "../../src/core/manifest.ts";
import { compareUtf8, type Name } from "../../src/core/names.ts";
import type { AcceptorState } from "../../src/core/register.ts";
import { AtollError } from "../../src/errors.ts";
import type { Catalog, CatalogChange, RegisterRow, ScanRange } from "../../src/ports.ts";

export function createMemoryCatalog(): Catalog {
  return new MemoryCatalog();
}

class MemoryCatalog implements Catalog {
  readonly #registers = new Map<Name, AcceptorState>();
  readonly #chunks = new Map<ChunkId, Uint8Array>();
  readonly #incomplete = new Map<Name, number>();
  readonly #documents = new Map<string, string>();
  /** All names in order; undefined after one was added. */
  #sorted: Name[] | undefined;
  #closed = false;

  async commit(change: CatalogChange): Promise<void> {
    this.#mustBeOpen();
    for (const { name } of change.registers ?? []) {
      if (!name.isWellFormed()) throw new AtollError("internal", "wanted a name of well-formed text");
    }
    for (const { name, state } of change.registers ?? []) {
      if (!this.#registers.has(name)) this.#sorted = undefined;
      this.#registers.set(name, state);
    }
    for (const { id, bytes } of change.chunks ?? []) {
      if (!this.#chunks.has(id)) this.#chunks.set(id, new Uint8Array(bytes));
    }
    for (const { name, version } of change.incomplete ?? []) {
      this.#incomplete.delete(name); // put again, it goes to the end of the line
      if (version !== null) this.#incomplete.set(name, version);
    }
    for (const { key, text } of change.documents ?? []) this.#documents.set(key, text);
  }

  async register(name: Name): Promise<AcceptorState | undefined> {
    this.#mustBeOpen();
    return this.#registers.get(name);
  }

  async scan({ prefix, after, afterPrefix, limit }: ScanRange): Promise<RegisterRow[]> {
    this.#mustBeOpen();
    this.#sorted ??= [...this.#registers.keys()].sort(compareUtf8);
    const rows: RegisterRow[] = [];
    for (let index = this.#firstAfter(this.#sorted, after, prefix); rows.length < limit; index++) {
      const name = this.#sorted[index];
      if (name === undefined || !name.startsWith(prefix)) break;
      if (afterPrefix && name.startsWith(afterPrefix)) continue;
      const state = this.#registers.get(name);
      if (state && state.value !== null) rows.push({ name, state });
    }
    return rows;
  }

  /** Index of the first name that is greater than `after` and not before `prefix`. */
  #firstAfter(sorted: readonly Name[], after: Name, prefix: Name): number {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const name = sorted[middle]!;
      if ((after === "" || compareUtf8(name, after) > 0) && compareUtf8(name, prefix) >= 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  async chunk(id: ChunkId): Promise<Uint8Array | undefined> {
    this.#mustBeOpen();
    const bytes = this.#chunks.get(id);
    return bytes && new Uint8Array(bytes);
  }

  async hasChunks(ids: readonly ChunkId[]): Promise<boolean[]> {
    this.#mustBeOpen();
    return ids.map((id) => this.#chunks.has(id));
  }

  async deleteChunk(id: ChunkId): Promise<void> {
    this.#mustBeOpen();
    this.#chunks.delete(id);
  }

  async incomplete(limit: number): Promise<{ name: Name; version: number }[]> {
    this.#mustBeOpen();
    return [...this.#incomplete].slice(0, limit).map(([name, version]) => ({ name, version }));
  }

  async document(key: string): Promise<string | undefined> {
    this.#mustBeOpen();
    return this.#documents.get(key);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new AtollError("internal", "wanted an open catalog, got one that was closed");
  }
}
