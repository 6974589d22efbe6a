/**
 * Whether what an object lacks here is gone for good: every old replica, and every other node that is there, says that it
 * has no such chunk. Silence is no answer, and neither is one that is too short.
 */
import type { ChunkId, Manifest } from "../../core/manifest.ts";
import type { Name } from "../../core/names.ts";
import { slices } from "../background.ts";
import type { ChunkStore } from "../chunk-store.ts";
import type { Content } from "../content.ts";
import type { Courtesy } from "../courtesy.ts";
import type { Membership } from "../membership.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Replica } from "../replica.ts";
import type { Ring } from "../ring.ts";

const ASK_TIMEOUT_MS = 5_000;
const CHUNKS_ASKED = 256;

export interface GoneChunksDeps {
  ring: Ring;
  replica: Replica;
  chunks: ChunkStore;
  content: Content;
  gate: PeerGate;
  membership: Membership;
  courtesy: Courtesy;
}

export class GoneChunks {
  readonly #deps: GoneChunksDeps;

  constructor(deps: GoneChunksDeps) {
    this.#deps = deps;
  }

  /**
   * True only when that version lacks chunks here and not one of those can be had: while some can, they are still on their
   * way. Rejects when somebody who may have one does not answer.
   */
  async areAll(name: Name, version: number): Promise<boolean> {
    const { value } = await this.#deps.replica.state(name);
    if (value?.version !== version || value.content.kind !== "object") return false;
    let missing = 0;
    for await (const ids of this.#missing(name, value.content.manifest)) {
      missing += ids.length;
      if (!await this.#areNowhere(name, ids)) return false;
    }
    return missing > 0;
  }

  async *#missing(name: Name, manifest: Manifest): AsyncGenerator<ChunkId[]> {
    const { chunks, content, courtesy } = this.#deps;
    let ids: ChunkId[] = [];
    if (manifest.layout === "index") {
      for (const id of manifest.chunks) if (!await chunks.has(id)) ids.push(id);
      // What it names is not known.
      if (ids.length > 0) return yield* slices(ids, CHUNKS_ASKED);
    }
    for await (const { id } of content.chunksOf(name, manifest)) {
      await courtesy.turn();
      if (await chunks.has(id) || ids.push(id) < CHUNKS_ASKED) continue;
      yield ids;
      ids = [];
    }
    if (ids.length > 0) yield ids;
  }

  async #areNowhere(name: Name, ids: readonly ChunkId[]): Promise<boolean> {
    const { ring, gate, membership } = this.#deps;
    const old = ring.quorum(name).sets[0] ?? [];
    // Who is no replica may hold it in the place of one; a new one that is away keeps what it has.
    const others = new Set([...old, ...ring.members.filter((id) => membership.isAlive(id))]);
    others.delete(ring.self);
    const options = { timeoutMs: ASK_TIMEOUT_MS, layout: ring.number };
    const answers = await Promise.all(
      [...others].map((node) => gate.call(node, { type: "chunks-held", ids }, options)),
    );
    return answers.every(({ held }) => ids.every((_, i) => held[i] === false));
  }
}
