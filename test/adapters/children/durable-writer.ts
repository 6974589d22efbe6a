/**
 * A process to be killed: writes numbered things into a catalog or into chunk files without end, several at a time, and
 * prints each number once it was acknowledged. Arguments: what to write to, and where.
 */
import { join } from "node:path";
import { argv, stdout } from "node:process";
import { openChunkFiles } from "../../../src/adapters/chunk-files.ts";
import { openSqliteCatalog } from "../../../src/adapters/sqlite-catalog.ts";
import { row } from "../../conformance/catalog.ts";
import { numberedChunk } from "../../conformance/chunk-files.ts";

const WRITERS = 8;
const [what, path] = argv.slice(2);

async function opened(): Promise<(number: number) => Promise<void>> {
  if (what === "catalog") {
    const catalog = await openSqliteCatalog({ path: join(path!, "catalog.db") });
    return (number) => catalog.commit({ registers: [row(`b\0${number}`, number)] });
  }
  const files = await openChunkFiles({ directory: join(path!, "chunks") });
  return (number) => {
    const { id, bytes } = numberedChunk(number);
    return files.put(id, bytes);
  };
}

const write = await opened();
let last = 0;
await Promise.all(Array.from({ length: WRITERS }, async () => {
  for (;;) {
    const number = ++last;
    await write(number);
    stdout.write(`${number}\n`);
  }
}));
