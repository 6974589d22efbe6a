/** What must be so when all has come to rest, looked up on the disks themselves. */
import { Buffer } from "node:buffer";
import { type Layout, replicasOf } from "../../src/core/layout.ts";
import { type ChunkId, DIGEST_BYTES } from "../../src/core/manifest.ts";
import type { Name } from "../../src/core/names.ts";
import type { RegisterValue } from "../../src/core/register.ts";
import type { FakeDisk } from "../helpers/fake-disk.ts";
import { HASHING, type MemoryRing } from "../helpers/memory-ring.ts";

/** What a node says of what it still has to do, when it has nothing to do. */
const QUEUES = [
  "atoll_objects_incomplete",
  "atoll_hints_owed",
  "atoll_handoff_chunks_owed",
  "atoll_recovery_partitions_left",
  "atoll_registers_damaged",
  "atoll_takeover_partitions_left",
  "atoll_leavings_registers",
];
/** Of one node at rest: its pings and their time-outs, and one for each thing that is done from time to time. */
const TIMERS_PER_NODE = 8;
const TIMERS_PER_PEER = 3;

export interface Bounds {
  readonly memoryCacheBytes: number;
  readonly diskCacheBytes: number;
}

/** The first bound that is not kept; to be asked when all is at rest. */
export function boundBroken(ring: MemoryRing, ids: readonly string[], bounds: Bounds): string | undefined {
  for (const id of ids) {
    const gauge = (series: string): number => ring.count(id, series);
    const [memory, disk] = [gauge("atoll_memory_cache_bytes"), gauge("atoll_disk_cache_bytes")];
    if (memory > bounds.memoryCacheBytes) return `${id} has ${memory} bytes in its memory cache`;
    if (disk > bounds.diskCacheBytes) return `${id} has ${disk} bytes in its disk cache`;
  }
  const [timers, most] = [ring.clock.pending, ids.length * (TIMERS_PER_NODE + TIMERS_PER_PEER * ids.length)];
  return timers > most ? `wanted at most ${most} timers at rest, there are ${timers}` : undefined;
}

/** The first thing that is not at rest, or undefined. `ids`: of those that are to be there. */
export async function unrest(ring: MemoryRing, ids: readonly string[]): Promise<string | undefined> {
  const down = ids.find((id) => !ring.isUp(id));
  if (down !== undefined) return `${down} is down`;
  const layout = ring.node(ids[0]!).layout();
  if (!layout) return `${ids[0]} has no layout`;
  const problem = layoutUnrest(ring, layout, ids);
  if (problem !== undefined) return problem;
  const held = new Map<string, Map<Name, string>>();
  for (const id of ids) {
    const { disk } = ring.site(id);
    if (disk.damagedRows.size > 0) return `${id} has damaged rows`;
    const [owed] = await disk.catalog.owedCounts();
    if (owed) return `${id} owes ${JSON.stringify(owed)}`;
    const [incomplete] = await disk.catalog.incomplete(1);
    if (incomplete) return `${id} has an incomplete ${incomplete.name}`;
    const recovery = await disk.catalog.document("recovery");
    if (recovery !== undefined && recovery !== "[]") return `${id} has not resynced`;
    const registers = new Map<Name, string>();
    const wanted = new Set<ChunkId>();
    for (
      const { name, state: { accepted, value } } of await disk.catalog.scan({
        prefix: "",
        after: "",
        limit: 1e6,
      })
    ) {
      registers.set(name, JSON.stringify([accepted, value]));
      if (value?.content.kind === "tombstone") return `${id} has a tombstone of ${name}`;
      for await (const chunk of chunksOf(disk, value)) wanted.add(chunk);
    }
    held.set(id, registers);
    const chunks = await chunkUnrest(ring, id, wanted);
    if (chunks !== undefined) return chunks;
  }
  return registerUnrest(layout, held) ?? queueUnrest(ring, ids);
}

/** One settled layout that all go by, whose members are there. */
function layoutUnrest(ring: MemoryRing, layout: Layout, ids: readonly string[]): string | undefined {
  if (layout.from) return `layout ${layout.number} is moving`;
  for (const id of ids) {
    const number = ring.node(id).layout()?.number;
    if (number !== layout.number) return `${id} goes by layout ${number}, others by ${layout.number}`;
  }
  const away = layout.nodes.find(({ id }) => !ids.includes(id));
  return away && `${away.id} is gone, and a member`;
}

function queueUnrest(ring: MemoryRing, ids: readonly string[]): string | undefined {
  for (const id of ids) {
    const busy = QUEUES.find((series) => ring.count(id, series) !== 0);
    if (busy !== undefined) return `${id} has ${ring.count(id, busy)} in ${busy}`;
  }
  return undefined;
}

function registerUnrest(layout: Layout, held: Map<string, Map<Name, string>>): string | undefined {
  for (const [id, registers] of held) {
    for (const [name, text] of registers) {
      const replicas = replicasOf(layout, name);
      if (!replicas.includes(id)) return `${id} holds ${name}, whose replicas are ${replicas.join()}`;
      const other = replicas.find((replica) => held.get(replica)?.get(name) !== text);
      if (other !== undefined) return `${other} differs from ${id} in ${name}`;
    }
  }
  return undefined;
}

/** Exactly the chunks that registers here name, each of them good. */
async function chunkUnrest(ring: MemoryRing, id: string, wanted: Set<ChunkId>): Promise<string | undefined> {
  const { disk } = ring.site(id);
  const files = await disk.chunkFiles.list("", 1e6);
  const small = await disk.catalog.listChunks("", 1e6);
  for (const { id: chunk } of [...files, ...small]) {
    if (!wanted.has(chunk)) return `${id} has chunk ${chunk}, which nobody names`;
  }
  for (const chunk of wanted) {
    if (disk.rottenChunks.has(chunk)) return `${id} has a rotten chunk ${chunk}`;
    const bytes = await storedAt(disk, chunk);
    if (!bytes || HASHING.sha256(bytes) !== chunk) return `${id} lacks chunk ${chunk}`;
  }
  return undefined;
}

async function storedAt(disk: FakeDisk, chunk: ChunkId): Promise<Uint8Array | undefined> {
  const row = await disk.catalog.chunk(chunk);
  if (row) return row;
  const file = await disk.chunkFiles.get(chunk);
  return file.kind === "found" ? file.bytes : undefined;
}

/** Index chunks, and as far as they are here, those that they name. */
async function* chunksOf(disk: FakeDisk, value: RegisterValue | null): AsyncGenerator<ChunkId> {
  if (value?.content.kind !== "object") return;
  const { layout, chunks } = value.content.manifest;
  yield* chunks;
  if (layout === "list") return;
  for (const index of chunks) {
    const text = Buffer.from(await storedAt(disk, index) ?? []).toString("hex");
    for (let at = 0; at < text.length; at += 2 * DIGEST_BYTES) yield text.slice(at, at + 2 * DIGEST_BYTES);
  }
}
