/** `atoll get`: an object into a file, or to standard output; nothing unverified ever has the file's name. */
import { lstat, open, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  addressText,
  named,
  type ObjectAddress,
  objectPath,
  parseObjectAddress,
  printable,
} from "./address.ts";
import { Digest, digestInEtag, mismatch } from "./content.ts";
import { Failure, localFailure, usage } from "./failure.ts";
import type { Answer, NodeClient } from "./node-client.ts";
import { PartFile } from "./part-file.ts";
import type { Terminal } from "./terminal.ts";
import { formatBytes, formatTook } from "./units.ts";

export interface GetOptions {
  readonly continue?: boolean;
  /** Ask for the newest version although the object's freshness would allow an older one. */
  readonly fresh?: boolean;
}

type Destination =
  | { readonly kind: "output" }
  | { readonly kind: "file"; readonly path: string }
  /** A device or a pipe: written as it comes, since renaming a file onto it would replace it. */
  | { readonly kind: "special"; readonly path: string };

interface Received {
  readonly from: ObjectAddress;
  readonly to: string;
  readonly answer: Answer;
  readonly sha256: string;
  readonly bytes: number;
  /** Of them, from an earlier attempt. */
  readonly resumedBytes: number;
  readonly startedMs: number;
}

export async function get(
  client: NodeClient,
  terminal: Terminal,
  source: string,
  file: string | undefined,
  options: GetOptions,
): Promise<void> {
  const from = parseObjectAddress(source);
  const to = await destinationOf(from, file);
  if (options.continue === true && to.kind !== "file") {
    throw usage(`--continue goes on with a file, got ${to.kind === "output" ? "standard output" : to.path}`);
  }
  try {
    if (to.kind === "file") await intoFile(client, terminal, from, to.path, options);
    else await intoStream(client, terminal, from, to, options);
  } catch (error) {
    throw named(error, from);
  }
}

async function destinationOf(from: ObjectAddress, file: string | undefined): Promise<Destination> {
  if (file === "-") return { kind: "output" };
  const ownName = from.key.slice(from.key.lastIndexOf("/") + 1);
  const isDirectory = file === undefined ? true : file.endsWith("/") || (await kindOf(file)) === "directory";
  if (isDirectory && (ownName === "" || ownName === "." || ownName === ".." || ownName.includes("\0"))) {
    throw usage(
      `wanted FILE after ${addressText(from)}: the key's end ${JSON.stringify(ownName)} is no file's name`,
    );
  }
  const path = isDirectory ? join(file ?? ".", ownName) : file!;
  const kind = await kindOf(path);
  if (kind === "directory") throw localFailure("write", path, Object.assign(new Error(), { code: "EISDIR" }));
  if (kind === "special") return { kind, path };
  // What a link points to is meant, not the link.
  const isLink = kind === "file" && (await lstat(path)).isSymbolicLink();
  return { kind: "file", path: isLink ? await realpath(path) : path };
}

async function kindOf(path: string): Promise<"absent" | "file" | "directory" | "special"> {
  try {
    const entry = await stat(path);
    return entry.isDirectory() ? "directory" : entry.isFile() ? "file" : "special";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "absent";
    throw localFailure("write", path, error);
  }
}

async function intoFile(
  client: NodeClient,
  terminal: Terminal,
  from: ObjectAddress,
  path: string,
  options: GetOptions,
): Promise<void> {
  const startedMs = performance.now();
  const resumed = options.continue === true ? await resume(client, terminal, from, path, options) : undefined;
  const answer = resumed?.answer ?? await client.request({
    method: "GET",
    isAlone: true,
    path: objectPath(from),
    headers: requestHeaders(options),
  });
  const part = resumed?.part ?? await PartFile.create(path, digestInEtag(answer.header("etag")));
  const digest = resumed?.digest ?? new Digest();
  const resumedBytes = part.sizeBytes;
  const lengthBytes = Number(answer.header("content-length") ?? NaN);
  const total = resumed?.isWhole === true
    ? resumedBytes
    : Number.isNaN(lengthBytes)
    ? undefined
    : resumedBytes + lengthBytes;
  const transfer = terminal.progress.transfer(printable(path), total, resumedBytes);
  try {
    if (resumed?.isWhole !== true) {
      for await (const bytes of answer.body) {
        await part.append(bytes);
        digest.update(bytes);
        transfer.advance(bytes.length);
      }
    }
    await verifyInto(part, digest, from);
  } catch (error) {
    if (error instanceof Failure && error.code !== "digest-mismatch" && part.sizeBytes > 0) {
      transfer.end();
      await terminal.note(
        `atoll: ${formatBytes(part.sizeBytes)} are kept in ${
          printable(part.path)
        }: "atoll get --continue" goes on from there`,
      );
      await part.close();
    } else {
      await part.discard();
    }
    throw error;
  } finally {
    transfer.end();
  }
  await report(terminal, {
    from,
    to: path,
    answer,
    sha256: part.sha256,
    bytes: digest.bytes,
    resumedBytes,
    startedMs,
  });
}

async function verifyInto(part: PartFile, digest: Digest, from: ObjectAddress): Promise<void> {
  const hex = digest.hex();
  if (hex !== part.sha256) {
    throw mismatch(
      `wanted the SHA-256 ${part.sha256}, got ${hex} in ${digest.bytes} bytes of ${
        addressText(from)
      }: nothing was kept`,
    );
  }
  await part.commit();
}

interface Resumed {
  readonly part: PartFile;
  readonly answer: Answer;
  /** Over what the part holds. */
  readonly digest: Digest;
  /** Nothing was missing but the name. */
  readonly isWhole: boolean;
}

/** Undefined where one begins anew: there is no part, or the object is another one by now. */
async function resume(
  client: NodeClient,
  terminal: Terminal,
  from: ObjectAddress,
  path: string,
  options: GetOptions,
): Promise<Resumed | undefined> {
  const part = await PartFile.claim(path);
  if (!part) return undefined;
  let isKept = false;
  try {
    if (part.sizeBytes === 0) return undefined;
    isKept = true; // whatever happens, short of another content
    const digest = new Digest();
    await part.hashInto(digest);
    const answer = await client.request({
      method: "GET",
      isAlone: true,
      path: objectPath(from),
      headers: {
        ...requestHeaders(options),
        Range: `bytes=${part.sizeBytes}-`,
        // Not If-Range: the whole of another content is not what was asked for; see below.
        "If-Match": `"${part.sha256}"`,
      },
      expects: [200, 206, 412, 416],
    });
    if (answer.status === 206 && answer.header("content-range")?.startsWith(`bytes ${part.sizeBytes}-`)) {
      return { part, answer, digest, isWhole: false };
    }
    await answer.discard();
    if (answer.status === 416 && answer.header("content-range") === `bytes */${part.sizeBytes}`) {
      return { part, answer, digest, isWhole: true };
    }
    isKept = false;
    await terminal.note(
      answer.status === 412
        ? `atoll: ${addressText(from)} has changed since the part was fetched: from the beginning`
        : `atoll: the node does not go on at byte ${part.sizeBytes}: from the beginning`,
    );
    return undefined;
  } catch (error) {
    await part.close();
    throw error;
  } finally {
    if (!isKept) await part.discard();
  }
}

/** What passed cannot be called back: whoever reads the stream learns of a mismatch by the exit code. */
async function intoStream(
  client: NodeClient,
  terminal: Terminal,
  from: ObjectAddress,
  to: Exclude<Destination, { kind: "file" }>,
  options: GetOptions,
): Promise<void> {
  const startedMs = performance.now();
  const answer = await client.request({
    method: "GET",
    isAlone: true,
    path: objectPath(from),
    headers: requestHeaders(options),
  });
  const sha256 = digestInEtag(answer.header("etag"));
  const handle = to.kind === "special" ? await openSpecial(to.path) : undefined;
  const digest = new Digest();
  const transfer = terminal.progress.transfer(addressText(from), Number(answer.header("content-length")));
  try {
    for await (const bytes of answer.body) {
      if (handle && to.kind === "special") {
        await handle.writeFile(bytes).catch((error: unknown) => {
          throw localFailure("write", to.path, error);
        });
      } else {
        await terminal.write(bytes);
      }
      digest.update(bytes);
      transfer.advance(bytes.length);
    }
  } finally {
    transfer.end();
    await handle?.close();
  }
  const hex = digest.hex();
  if (hex !== sha256) throw mismatch(`wanted the SHA-256 ${sha256}, got ${hex}: what was written is wrong`);
  // Standard output is the content's.
  if (to.kind === "output") return;
  await report(terminal, {
    from,
    to: to.path,
    answer,
    sha256,
    bytes: digest.bytes,
    resumedBytes: 0,
    startedMs,
  });
}

async function openSpecial(path: string) {
  return await open(path, "w").catch((error: unknown) => {
    throw localFailure("write", path, error);
  });
}

function requestHeaders(options: GetOptions): Record<string, string> {
  return {
    // The digest is that of the content as it is stored.
    "Accept-Encoding": "identity",
    ...(options.fresh === true && { "Cache-Control": "no-cache" }),
  };
}

async function report(terminal: Terminal, received: Received): Promise<void> {
  const { from, to, answer, sha256, bytes, resumedBytes, startedMs } = received;
  const seconds = (performance.now() - startedMs) / 1000;
  const version = Number(answer.header("atoll-version"));
  await terminal.result(
    `${addressText(from)} -> ${printable(to)}  ${formatBytes(bytes)} in ${
      formatTook(seconds)
    }  version ${version}${resumedBytes > 0 ? `, ${formatBytes(resumedBytes)} of it from before` : ""}`,
    {
      command: "get",
      ...from,
      file: to,
      bytes,
      resumedBytes,
      etag: `"${sha256}"`,
      version,
      seconds: Number(seconds.toFixed(3)),
    },
  );
}
