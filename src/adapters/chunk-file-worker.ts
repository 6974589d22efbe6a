/** The thread that writes chunk files: the module that asks it, and what runs in it. */
import type { ChunkId } from "../core/manifest.ts";
import { ChunkFileWriter } from "./chunk-file-writer.ts";
import { createChunkFormat } from "./chunk-format.ts";
import { diskFault } from "./disk-durability.ts";
import { crossed, crossing, type CrossingBytes, serveWork, WorkThread } from "./work-thread.ts";

const ROLE = "atoll-chunk-files";

/** This module as one piece of JavaScript, where the build has put it. */
declare const ATOLL_CHUNK_FILE_WORKER: string | undefined;

interface Put {
  readonly directory: string;
  readonly temporary: string;
  readonly id: ChunkId;
  readonly bytes: CrossingBytes;
}

export class ChunkFileThread {
  readonly #thread = new WorkThread<Put, void>({
    role: ROLE,
    module: import.meta.url,
    bundled: typeof ATOLL_CHUNK_FILE_WORKER === "string" ? ATOLL_CHUNK_FILE_WORKER : undefined,
  });
  readonly #where: { readonly directory: string; readonly temporary: string };

  constructor(directory: string, temporary: string) {
    this.#where = { directory, temporary };
  }

  /** As `ChunkFileWriter.put`, faults of the disk named. The bytes stay as they are until then. */
  async put(id: ChunkId, content: Uint8Array): Promise<void> {
    const { bytes, transfers } = crossing(content);
    await this.#thread.ask({ ...this.#where, id, bytes }, transfers);
  }
}

let writer: Promise<ChunkFileWriter> | undefined;

serveWork(ROLE, async ({ directory, temporary, id, bytes }: Put): Promise<void> => {
  writer ??= createChunkFormat().then((format) => new ChunkFileWriter(directory, temporary, format));
  try {
    await (await writer).put(id, crossed(bytes));
  } catch (error) {
    throw diskFault(error, `write chunk ${id}`);
  }
});
