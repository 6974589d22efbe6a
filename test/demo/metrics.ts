/** What a node's /metrics tell of chunks, in words. */

const WORDS: readonly (readonly [RegExp, string])[] = [
  [/^atoll_chunk_reads_total\{tier="([^"]+)"\} (\d+)/, "chunks read from: $1"],
  [/^atoll_chunks_stored_total() (\d+)/, "chunks fetched and made durable since it came back"],
  [/^atoll_objects_completed_total() (\d+)/, "objects completed by itself"],
];

export function chunkCounts(metrics: string): string[] {
  return metrics.split("\n").flatMap((line) =>
    WORDS.flatMap(([pattern, words]) => {
      const found = pattern.exec(line);
      return found ? [`${found[2]!.padStart(4)} ${words.replace("$1", found[1]!)}`] : [];
    })
  );
}
