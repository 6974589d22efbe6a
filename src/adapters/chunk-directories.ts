/** The fan-out below a chunk directory, `ab/cd`: made when first needed, and known to be durable before anything in it is. */
import { mkdirSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type ChunkId, isChunkId } from "../core/manifest.ts";
import { codeOf, isMissing, syncDirectory } from "./disk-durability.ts";

export class ChunkDirectories {
  readonly #root: string;
  /** By `ab` or `ab/cd`: directories whose names are durable, or are becoming so. At most 65,792. */
  readonly #made = new Map<string, Promise<void>>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Where a chunk lies, made durable on the way: after a crash a directory may be there and its name not on disk yet. */
  async of(id: ChunkId): Promise<string> {
    const outer = id.slice(0, 2);
    const inner = join(outer, id.slice(2, 4));
    await this.#once(outer, () => this.#make(outer, this.#root));
    try {
      await this.#once(inner, () => this.#make(inner, join(this.#root, outer)));
    } catch (error) {
      // The outer one may be gone, or never have been a directory: that is looked at again, too.
      this.#made.delete(outer);
      throw error;
    }
    return join(this.#root, inner);
  }

  pathOf(id: ChunkId): string {
    return join(this.#root, id.slice(0, 2), id.slice(2, 4), id);
  }

  /** Of the files that are there, in order, greater than `after`; one that comes or goes meanwhile may be among them. */
  async *ids(after: ChunkId): AsyncGenerator<ChunkId> {
    for (const outer of await this.#names("", after.slice(0, 2))) {
      if (outer.length !== 2) continue; // what is being written
      const from = outer === after.slice(0, 2) ? after.slice(2, 4) : "";
      for (const inner of await this.#names(outer, from)) {
        for (const id of await this.#names(join(outer, inner), after)) {
          if (id > after && isChunkId(id)) yield id;
        }
      }
    }
  }

  /** In order, from `from` on. */
  async #names(directory: string, from: string): Promise<string[]> {
    try {
      const names = await readdir(join(this.#root, directory));
      return names.filter((name) => name >= from).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  #once(name: string, make: () => Promise<void>): Promise<void> {
    let making = this.#made.get(name);
    if (!making) {
      making = make();
      this.#made.set(name, making);
      // One that failed is tried again by the next to need it; the failure itself reaches whoever waits.
      making.catch(() => this.#made.delete(name));
    }
    return making;
  }

  async #make(name: string, parent: string): Promise<void> {
    try {
      mkdirSync(join(this.#root, name), { mode: 0o700 });
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    await syncDirectory(parent);
  }
}
