/** The catalog with its commits counted and timed: where a write waits for the disk, it shows here first. */
import type { Catalog, Clock } from "../ports.ts";
import type { Metrics } from "./metrics.ts";

export function measuredCatalog(catalog: Catalog, clock: Clock, metrics: Metrics): Catalog {
  const took = metrics.histogram(
    "atoll_catalog_commit_seconds",
    "Commits to the catalog, until they are durable",
  );
  const failed = metrics.counter("atoll_catalog_errors_total", "Commits to the catalog that failed");
  return {
    register: (name) => catalog.register(name),
    scan: (range, thorough) => catalog.scan(range, thorough),
    chunk: (id) => catalog.chunk(id),
    hasChunks: (ids) => catalog.hasChunks(ids),
    deleteChunk: (id) => catalog.deleteChunk(id),
    listChunks: (after, limit) => catalog.listChunks(after, limit),
    incomplete: (limit) => catalog.incomplete(limit),
    owedTo: (node, what, limit) => catalog.owedTo(node, what, limit),
    owedCounts: () => catalog.owedCounts(),
    areOwed: (ids) => catalog.areOwed(ids),
    slotRows: (slot, after, limit, end) => catalog.slotRows(slot, after, limit, end),
    changedSlots: (limit) => catalog.changedSlots(limit),
    digests: () => catalog.digests(),
    floors: () => catalog.floors(),
    document: (key) => catalog.document(key),
    close: () => catalog.close(),
    async commit(change) {
      const begunMs = clock.monotonicMs();
      try {
        await catalog.commit(change);
      } catch (error) {
        failed.add();
        throw error;
      }
      took.observe((clock.monotonicMs() - begunMs) / 1_000);
    },
  };
}
