/** Chunks that are brought to a node which lacks them and may not know whom to ask. */
import type { ChunkId } from "../core/manifest.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { PeerGate } from "./peer-gate.ts";

const ASK_TIMEOUT_MS = 5_000;
const BRING_TIMEOUT_MS = 10_000;

/** Those of them that the node says it has not got. Rejects when it does not answer. */
export async function lackedBy(
  gate: PeerGate,
  node: string,
  ids: readonly ChunkId[],
): Promise<readonly ChunkId[]> {
  const { held } = await gate.call(node, { type: "chunks-held", ids }, { timeoutMs: ASK_TIMEOUT_MS });
  return ids.filter((_, i) => held[i] !== true);
}

/** Whether it has them now, durably. Rejects when it does not answer. */
export async function bringChunks(
  { chunks, gate }: { readonly chunks: ChunkStore; readonly gate: PeerGate },
  node: string,
  ids: readonly ChunkId[],
): Promise<boolean> {
  for (const id of ids) {
    const bytes = await chunks.get(id);
    if (!bytes) return false;
    await gate.call(node, { type: "chunk-put", id, bytes }, { timeoutMs: BRING_TIMEOUT_MS });
  }
  return true;
}
