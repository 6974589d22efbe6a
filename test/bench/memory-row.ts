/** Memory does not grow with objects or clients: many large transfers at once against a small cache. */
import { rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { type Runtime, startNode } from "../helpers/atoll-process.ts";
import { bundle } from "../tools/bundle.ts";
import { download, upload, uploadFrom } from "./curl.ts";
import { makeSampleFile } from "./sample-file.ts";

export const MEMORY_ROW = "memory: 16 uploads and 16 downloads of 1 GiB at once";
const OBJECT_BYTES = 2 ** 30;
const EACH_WAY = 16;
const CACHE_BYTES = 32 << 20;
/** Not a divisor of the chunk size: each upload's chunks differ from every other's. */
const SKIP_BYTES = 4_099;

export interface MemoryResult {
  readonly peakBytes: number;
  readonly idleBytes: number;
  readonly cacheBytes: number;
  readonly movedBytes: number;
  readonly seconds: number;
}

/** Why it cannot run, or undefined. */
export async function memoryProblem(directory: string): Promise<string | undefined> {
  const wanted = (EACH_WAY + 3) * OBJECT_BYTES;
  const { bavail, bsize } = await statfs(directory);
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(0);
  if (bavail * bsize >= wanted) return undefined;
  return `wanted ${gib(wanted)} GiB free in the temporary directory, got ${gib(bavail * bsize)}`;
}

export async function measureMemory(directory: string, runtime: Runtime): Promise<MemoryResult> {
  const path = join(directory, "large-memory");
  const dataDir = join(directory, "memory");
  const entry = join(directory, "atoll-memory.mjs");
  await bundle(entry);
  await makeSampleFile(path, OBJECT_BYTES);
  try {
    await using node = await startNode({
      runtime,
      entry,
      dataDir,
      env: { ATOLL_MEMORY_CACHE_BYTES: String(CACHE_BYTES) },
    });
    const url = `${node.publicUrl}/memory`;
    await upload(path, `${url}/source`, []);
    const idleBytes = node.memory().rssBytes;
    const startedMs = performance.now();
    await Promise.all(
      Array.from({ length: EACH_WAY }, (_, i) => [
        uploadFrom(path, (i + 1) * SKIP_BYTES, `${url}/copy-${i}`),
        download(`${url}/source`, []),
      ]).flat(),
    );
    return {
      peakBytes: node.memory().peakBytes,
      idleBytes,
      cacheBytes: CACHE_BYTES,
      movedBytes: 2 * EACH_WAY * OBJECT_BYTES,
      seconds: (performance.now() - startedMs) / 1000,
    };
  } finally {
    await rm(path);
    await rm(dataDir, { recursive: true, force: true });
  }
}
