import { chunkCacheConformance } from "../conformance/chunk-cache.ts";
import { chunkFilesConformance } from "../conformance/chunk-files.ts";
import { createMemoryChunkCache, createMemoryChunkFiles } from "./memory-chunk-files.ts";

chunkFilesConformance("MemoryChunkFiles", async () => {
  const files = createMemoryChunkFiles();
  return { files, damage: async (id) => files.flip(id), close: async () => undefined };
});

chunkCacheConformance("MemoryChunkCache", async (maxBytes) => {
  const cache = createMemoryChunkCache(maxBytes);
  return { cache, damage: async (id) => cache.flip(id), close: async () => undefined };
});
