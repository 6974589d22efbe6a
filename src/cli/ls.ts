/** `atoll ls`: the buckets, or what is in one. */
import { parsePrefixAddress, printable } from "./address.ts";
import { listBuckets, type ListedObject, listObjects } from "./listing.ts";
import type { NodeClient } from "./node-client.ts";
import type { Terminal } from "./terminal.ts";
import { formatBytes } from "./units.ts";

export interface LsOptions {
  readonly recursive?: boolean;
  readonly human?: boolean;
}

const SIZE_COLUMNS = 14;
const TIME_COLUMNS = 20;

export async function ls(
  client: NodeClient,
  terminal: Terminal,
  place: string | undefined,
  options: LsOptions,
): Promise<void> {
  if (place !== undefined) return await listPlace(client, terminal, place, options);
  for await (const names of listBuckets(client)) {
    for (const name of names) {
      await terminal.result(`${name}/`, { kind: "bucket", name });
      if (options.recursive === true) await listPlace(client, terminal, name, options, `${name}/`);
    }
  }
}

/** `shownBefore`: stands before every key, for listings of several buckets. */
async function listPlace(
  client: NodeClient,
  terminal: Terminal,
  place: string,
  options: LsOptions,
  shownBefore = "",
): Promise<void> {
  const { bucket, prefix } = parsePrefixAddress(place);
  const isRecursive = options.recursive === true;
  for await (const { objects, prefixes } of listObjects(client, bucket, prefix, { isRecursive })) {
    // One line, one write: a page of a thousand would otherwise be a thousand system calls.
    const lines: string[] = [];
    for (const name of prefixes) {
      lines.push(
        terminal.isJson
          ? JSON.stringify({ kind: "prefix", bucket, prefix: name })
          : `${"DIR".padStart(SIZE_COLUMNS)}  ${"".padEnd(TIME_COLUMNS)}  ${printable(shownBefore + name)}`,
      );
    }
    for (const object of objects) {
      lines.push(
        terminal.isJson
          ? JSON.stringify({ kind: "object", bucket, ...object })
          : objectLine(object, shownBefore, options.human === true),
      );
    }
    if (lines.length > 0) await terminal.write(`${lines.join("\n")}\n`);
  }
}

function objectLine(
  { key, size, lastModified }: ListedObject,
  shownBefore: string,
  isHuman: boolean,
): string {
  const time = lastModified.replace(/\.\d+Z$/, "Z");
  return `${(isHuman ? formatBytes(size) : String(size)).padStart(SIZE_COLUMNS)}  ${
    time.padEnd(TIME_COLUMNS)
  }  ${printable(shownBefore + key)}`;
}
