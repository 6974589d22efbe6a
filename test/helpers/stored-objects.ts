/** Objects in a memory ring, and what lies of them on each disk. */
import assert from "node:assert/strict";
import type { ChunkId, Manifest } from "../../src/core/manifest.ts";
import type { Name } from "../../src/core/names.ts";
import type { AcceptorState, RegisterValue } from "../../src/core/register.ts";
import type { RegisterRow } from "../../src/ports.ts";
import type { MemoryRing } from "./memory-ring.ts";
import { uploadOf } from "./uploads.ts";

/** Too large for the catalog: a file of its own. */
export const FILE_BYTES = 100_000;

/** Bytes that no other number gives. */
export function bytesOfKind(kind: number, sizeBytes = FILE_BYTES): Uint8Array {
  const bytes = new Uint8Array(sizeBytes).fill(kind & 0xff);
  new DataView(bytes.buffer).setUint32(0, kind);
  return bytes;
}

export async function putObject(
  ring: MemoryRing,
  at: string,
  name: Name,
  bytes = bytesOfKind(1),
): Promise<Manifest> {
  const outcome = await ring.run(ring.node(at).objects.put(uploadOf(name, bytes), {}), `putting ${name}`);
  return outcome.kind === "stored" ? outcome.manifest : assert.fail(outcome.kind);
}

export async function deleteObject(ring: MemoryRing, at: string, name: Name): Promise<void> {
  await ring.run(ring.node(at).objects.delete(name, {}), `deleting ${name}`);
}

export async function stateAt(ring: MemoryRing, id: string, name: Name): Promise<AcceptorState | undefined> {
  return await ring.site(id).disk.catalog.register(name);
}

/** Of the value each has accepted; 0 where there is none. */
export async function versionsAt(ring: MemoryRing, ids: readonly string[], name: Name): Promise<number[]> {
  return await Promise.all(ids.map(async (id) => (await stateAt(ring, id, name))?.value?.version ?? 0));
}

/** Those of the nodes that have a good copy. */
export async function holdersOf(ring: MemoryRing, ids: readonly string[], chunk: ChunkId): Promise<string[]> {
  const held = await Promise.all(ids.map(async (id) => {
    const { chunkFiles, catalog, rottenChunks } = ring.site(id).disk;
    if ((await chunkFiles.get(chunk)).kind === "found") return true;
    return await catalog.chunk(chunk) !== undefined && !rottenChunks.has(chunk);
  }));
  return ids.filter((_, i) => held[i]);
}

/** A register as a proposer would have left it at one replica. */
export function rowOf(name: Name, counter: number, value: Partial<RegisterValue> = {}): RegisterRow {
  const ballot = { counter, node: "x" };
  return {
    name,
    state: {
      promised: ballot,
      accepted: ballot,
      value: {
        version: counter,
        modifiedMs: 0,
        changeId: `change ${counter} of ${name}`,
        ancestors: [],
        content: { kind: "tombstone" },
        ...value,
      },
    },
  };
}

/** A file's manifest of one chunk, which need not be anywhere. */
export function manifestOf(chunk: ChunkId, sizeBytes = FILE_BYTES): Manifest {
  return { format: 1, size: sizeBytes, sha256: chunk, layout: "list", chunks: [chunk], headers: {} };
}
