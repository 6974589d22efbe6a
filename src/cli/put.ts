/** `atoll put`: files, or standard input, into a bucket. */
import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import {
  addressText,
  named,
  type ObjectAddress,
  objectPath,
  parseObjectAddress,
  parsePrefixAddress,
  printable,
} from "./address.ts";
import { Digest, digestInEtag, mismatch, reprDigestField } from "./content.ts";
import { EXIT, type ExitCode, Failure, localFailure, usage } from "./failure.ts";
import type { NodeClient } from "./node-client.ts";
import type { Terminal } from "./terminal.ts";
import type { Transfer } from "./progress.ts";
import { counted, formatBytes, formatTook } from "./units.ts";

const PIECE_BYTES = 256 << 10;
/** Up to so many bytes are read before they are sent, so that their digest can go ahead. */
const AHEAD_BYTES_MAX = 8 << 20;

export interface PutOptions {
  readonly contentType?: string;
  readonly cacheControl?: string;
  readonly ttl?: string;
  readonly meta?: readonly string[];
  /** True: must not exist. */
  readonly ifNoneMatch?: boolean;
  readonly ifMatch?: string;
  readonly ifVersion?: string;
  /** A file of any size is read twice: for its digest, and to send it. */
  readonly digestFirst?: boolean;
}

interface Source {
  readonly name: string;
  /** Undefined for pipes and the like. */
  readonly sizeBytes: number | undefined;
  /** Not for what can be read only once. */
  readonly again: boolean;
  read(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** Goes on after a file that failed, unless no node answers; the exit code is the first failure's. */
export async function put(
  client: NodeClient,
  terminal: Terminal,
  paths: readonly string[],
  options: PutOptions,
): Promise<ExitCode> {
  const destination = paths.at(-1)!;
  const files = paths.slice(0, -1);
  if (files.length === 0) {
    throw usage(`wanted FILE… BUCKET/KEY, got only ${JSON.stringify(destination)}`);
  }
  const targets = files.map((file) => ({ file, to: targetOf(file, destination, files.length) }));
  let exitCode: ExitCode = EXIT.done;
  for (const { file, to } of targets) {
    try {
      await putOne(client, terminal, file, to, options);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (targets.length === 1 || error.code === "unreachable" || error.exitCode === EXIT.brokenPipe) {
        throw error;
      }
      await terminal.error(error);
      if (exitCode === EXIT.done) exitCode = error.exitCode;
    }
  }
  return exitCode;
}

/** As with `cp`: into a place that ends in a slash go files under their own names. */
function targetOf(file: string, destination: string, count: number): ObjectAddress {
  if (destination.endsWith("/") || !destination.includes("/")) {
    const { bucket, prefix } = parsePrefixAddress(destination);
    if (file === "-") throw usage(`wanted BUCKET/KEY for standard input, got ${destination}`);
    return parseObjectAddress(`${bucket}/${prefix}${basename(file)}`);
  }
  if (count > 1) {
    throw usage(
      `wanted BUCKET/ or BUCKET/PREFIX/ for ${
        counted(count, "file")
      }, got ${destination} with no slash at its end`,
    );
  }
  return parseObjectAddress(destination);
}

async function putOne(
  client: NodeClient,
  terminal: Terminal,
  file: string,
  to: ObjectAddress,
  options: PutOptions,
): Promise<void> {
  const source = file === "-" ? standardInput(terminal) : await openFile(file);
  const transfer = terminal.progress.transfer(printable(source.name), source.sizeBytes);
  const startedMs = performance.now();
  try {
    const digest = new Digest();
    const headers = requestHeaders(options);
    const body = await bodyOf(source, options, headers, digest, transfer);
    const answer = await client.request({ method: "PUT", path: objectPath(to), headers, body })
      .catch((error: unknown) => {
        throw named(error, to);
      });
    await answer.discard();
    const hex = digest.hex();
    const stored = digestInEtag(answer.header("etag"));
    if (stored !== hex) {
      throw mismatch(
        `${
          addressText(to)
        }: sent the SHA-256 ${hex}, but the node stored ${stored}: what is there is not what was sent`,
      );
    }
    const seconds = (performance.now() - startedMs) / 1000;
    // Not told to who may write and not read.
    const told = answer.header("atoll-version");
    const version = told === undefined ? undefined : Number(told);
    const created = answer.status === 201;
    transfer.end();
    await terminal.result(
      `${printable(source.name)} -> ${addressText(to)}  ${formatBytes(digest.bytes)} in ${
        formatTook(seconds)
      }${version === undefined ? "" : `  version ${version}`}${created ? ", new" : ""}`,
      {
        command: "put",
        file,
        ...to,
        bytes: digest.bytes,
        etag: answer.header("etag"),
        version,
        created,
        seconds: Number(seconds.toFixed(3)),
      },
    );
  } finally {
    transfer.end();
    await source.close();
  }
}

function requestHeaders(options: PutOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  const set = (name: string, value: string | undefined) => {
    if (value !== undefined) headers[name] = value;
  };
  set("Content-Type", options.contentType);
  set("Cache-Control", options.cacheControl);
  set("Atoll-TTL", options.ttl);
  set("If-None-Match", options.ifNoneMatch === true ? "*" : undefined);
  set("If-Match", options.ifMatch);
  set("Atoll-If-Version", options.ifVersion);
  for (const pair of options.meta ?? []) {
    const equals = pair.indexOf("=");
    if (equals < 1) throw usage(`wanted --meta NAME=VALUE, got ${pair}`);
    headers[`Atoll-Meta-${pair.slice(0, equals)}`] = pair.slice(equals + 1);
  }
  return headers;
}

/** What is small, or was asked to be, has its digest sent ahead: then a node stores these bytes or none. */
async function bodyOf(
  source: Source,
  options: PutOptions,
  headers: Record<string, string>,
  digest: Digest,
  transfer: Transfer,
): Promise<AsyncIterable<Uint8Array>> {
  const { sizeBytes } = source;
  if (sizeBytes !== undefined) headers["Content-Length"] = String(sizeBytes);
  if (
    source.again && sizeBytes !== undefined && (sizeBytes <= AHEAD_BYTES_MAX || options.digestFirst === true)
  ) {
    const ahead = new Digest();
    for await (const part of source.read()) ahead.update(part);
    headers["Repr-Digest"] = reprDigestField(ahead.hex());
  } else if (options.digestFirst === true) {
    throw usage(`--digest-first reads twice, wanted a file, got ${source.name}`);
  }
  return counting(source, digest, transfer);
}

async function* counting(source: Source, digest: Digest, transfer: Transfer): AsyncGenerator<Uint8Array> {
  for await (const part of source.read()) {
    digest.update(part);
    yield part;
    transfer.advance(part.length);
  }
}

function standardInput(terminal: Terminal): Source {
  return {
    name: "standard input",
    sizeBytes: undefined,
    again: false,
    read: () => terminal.input,
    close: () => Promise.resolve(),
  };
}

async function openFile(path: string): Promise<Source> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    const stat = await handle.stat();
    if (stat.isDirectory()) {
      throw new Failure(EXIT.error, `cannot read ${path}: wanted a file, got a directory`, { code: "local" });
    }
    const sizeBytes = stat.isFile() ? stat.size : undefined;
    const opened = handle;
    return {
      name: path,
      sizeBytes,
      again: stat.isFile(),
      read: () => pieces(path, opened, sizeBytes),
      close: () => opened.close(),
    };
  } catch (error) {
    await handle?.close();
    throw error instanceof Failure ? error : localFailure("read", path, error);
  }
}

/** A file that grows meanwhile is taken as it was; one that shrinks cannot be. `sizeBytes` is undefined for a pipe. */
async function* pieces(
  path: string,
  handle: FileHandle,
  sizeBytes: number | undefined,
): AsyncGenerator<Uint8Array> {
  let leftBytes = sizeBytes ?? Infinity;
  while (leftBytes > 0) {
    const wanted = Math.min(PIECE_BYTES, leftBytes);
    const buffer = Buffer.allocUnsafe(wanted);
    const position = sizeBytes === undefined ? null : sizeBytes - leftBytes;
    const { bytesRead } = await handle.read(buffer, 0, wanted, position).catch((error: unknown) => {
      throw localFailure("read", path, error);
    });
    if (bytesRead === 0 && position === null) return;
    if (bytesRead === 0) {
      throw new Failure(EXIT.error, `${path} became shorter: wanted ${sizeBytes} bytes, got ${position}`, {
        code: "local",
      });
    }
    leftBytes -= bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
