/** The catalog's twin in memory: the same contract, nothing durable. */
import type { ChunkId } from "../../src/core/manifest.ts";
import { compareUtf8, type Name } from "../../src/core/names.ts";
import { slotOf } from "../../src/core/partitions.ts";
import { type AcceptorState, type Floor, higherFloor } from "../../src/core/register.ts";
import { AtollError } from "../../src/errors.ts";
import type { Catalog, CatalogChange, Owed, RegisterRow, ScanRange, StoredChunk } from "../../src/ports.ts";

export function createMemoryCatalog(): Catalog {
  return new MemoryCatalog();
}

interface Slot {
  readonly names: Set<Name>;
  turn: number;
  digestedTurn?: number;
  digest?: string;
}

class MemoryCatalog implements Catalog {
  readonly #registers = new Map<Name, AcceptorState>();
  readonly #chunks = new Map<ChunkId, Uint8Array>();
  readonly #incomplete = new Map<Name, number>();
  readonly #documents = new Map<string, string>();
  /** In the order in which they were put. */
  readonly #owed = new Map<string, Owed>();
  readonly #slots = new Map<number, Slot>();
  readonly #floors = new Map<number, Floor>();
  #turn = 0;
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
      this.#mark(name).names.add(name);
    }
    for (const name of change.forgotten ?? []) {
      if (this.#registers.delete(name)) this.#sorted = undefined;
      this.#mark(name).names.delete(name);
    }
    for (const { slot, floor } of change.floors ?? []) {
      const before = this.#floors.get(slot);
      this.#floors.set(slot, before ? higherFloor(before, floor) : floor);
    }
    for (const { id, bytes } of change.chunks ?? []) {
      if (!this.#chunks.has(id)) this.#chunks.set(id, new Uint8Array(bytes));
    }
    for (const { name, version } of change.incomplete ?? []) {
      this.#incomplete.delete(name); // put again, it goes to the end of the line
      if (version !== null) this.#incomplete.set(name, version);
    }
    for (const { settled, node, name, chunk } of change.owed ?? []) {
      const owed = { node, name, ...(chunk !== undefined && { chunk }) };
      const key = `${node}\n${chunk ?? ""}\n${name}`;
      if (settled) this.#owed.delete(key);
      else if (!this.#owed.has(key)) this.#owed.set(key, owed);
    }
    for (const { slot, digest, turn } of change.digests ?? []) {
      const known = this.#slots.get(slot);
      if (known) this.#slots.set(slot, { ...known, digest, digestedTurn: turn });
    }
    for (const { key, text } of change.documents ?? []) this.#documents.set(key, text);
  }

  #mark(name: Name): Slot {
    const slot = slotOf(name);
    const known = this.#slots.get(slot) ?? { names: new Set(), turn: 0 };
    known.turn = ++this.#turn;
    this.#slots.set(slot, known);
    return known;
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

  async listChunks(after: ChunkId, limit: number): Promise<StoredChunk[]> {
    this.#mustBeOpen();
    const ids = [...this.#chunks.keys()].filter((id) => id > after).sort().slice(0, limit);
    return ids.map((id) => ({ id, sizeBytes: this.#chunks.get(id)!.length }));
  }

  async owedTo(node: string, what: "changes" | "chunks", limit: number): Promise<Owed[]> {
    this.#mustBeOpen();
    const theirs = [...this.#owed.values()].filter((owed) =>
      owed.node === node && (owed.chunk !== undefined) === (what === "chunks")
    );
    return theirs.slice(0, limit);
  }

  async owedCounts(): Promise<{ node: string; changes: number; chunks: number }[]> {
    this.#mustBeOpen();
    const counts = new Map<string, { node: string; changes: number; chunks: number }>();
    for (const { node, chunk } of this.#owed.values()) {
      const count = counts.get(node) ?? { node, changes: 0, chunks: 0 };
      count[chunk === undefined ? "changes" : "chunks"]++;
      counts.set(node, count);
    }
    return [...counts.values()];
  }

  async areOwed(ids: readonly ChunkId[]): Promise<boolean[]> {
    this.#mustBeOpen();
    const owed = new Set([...this.#owed.values()].map(({ chunk }) => chunk));
    return ids.map((id) => owed.has(id));
  }

  async slotRows(slot: number, after: Name, limit: number, end = slot + 1): Promise<RegisterRow[]> {
    this.#mustBeOpen();
    const rows: RegisterRow[] = [];
    for (let at = slot; at < end; at++) {
      const names = this.#slots.get(at)?.names;
      if (!names || names.size === 0) continue;
      for (const name of [...names].sort(compareUtf8)) {
        if (at === slot && after !== "" && compareUtf8(name, after) <= 0) continue;
        if (rows.length === limit) return rows;
        rows.push({ name, state: this.#registers.get(name)! });
      }
    }
    return rows;
  }

  async changedSlots(limit: number): Promise<{ slot: number; turn: number }[]> {
    this.#mustBeOpen();
    return [...this.#slots].filter(([, { turn, digestedTurn }]) => turn !== digestedTurn)
      .map(([slot, { turn }]) => ({ slot, turn })).sort((a, b) => a.turn - b.turn).slice(0, limit);
  }

  async digests(): Promise<{ slot: number; digest: string }[]> {
    this.#mustBeOpen();
    return [...this.#slots].flatMap(([slot, { digest }]) => digest ? [{ slot, digest }] : []);
  }

  async floors(): Promise<{ slot: number; floor: Floor }[]> {
    this.#mustBeOpen();
    return [...this.#floors].map(([slot, floor]) => ({ slot, floor }));
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
