/** `atoll prewarm`: objects into the caches of a region before anybody asks for them. */
import { z } from "zod";
import { named, parseObjectAddress, parsePrefixAddress, type PrefixAddress, printable } from "./address.ts";
import { EXIT, type ExitCode, Failure } from "./failure.ts";
import { listObjects } from "./listing.ts";
import type { NodeClient } from "./node-client.ts";
import type { Terminal } from "./terminal.ts";
import { counted, formatBytes } from "./units.ts";

/** Of the node's answer; it names no more faults than it says. */
const LINE_CHARS_MAX = 1 << 20;

export interface PrewarmOptions {
  readonly recursive?: boolean;
  /** Default: the asked node's. */
  readonly region?: string;
}

const state = z.object({
  done: z.boolean(),
  objects: z.number(),
  missing: z.number(),
  bytes: z.number(),
  failed: z.number(),
  nodes: z.array(z.object({ node: z.string(), chunks: z.number(), bytes: z.number(), failed: z.number() })),
  complete: z.boolean().optional(),
  faults: z.array(z.object({ key: z.string(), reason: z.string() })).optional(),
});
type State = z.infer<typeof state>;

interface Work {
  readonly bucket: string;
  readonly keys?: readonly string[];
  readonly prefix?: string;
}

export async function prewarm(
  client: NodeClient,
  terminal: Terminal,
  places: readonly string[],
  options: PrewarmOptions,
): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  for (const work of workOf(places, options.recursive === true)) {
    const shown = printable(work.prefix === undefined ? work.bucket : `${work.bucket}/${work.prefix}`);
    const last = await load(client, terminal, { ...work, region: options.region }, shown);
    await terminal.result(summary(shown, last), { command: "prewarm", bucket: work.bucket, ...last });
    if (last.failed > 0) exitCode = EXIT.error;
    else if (last.missing > 0 && exitCode === EXIT.done) exitCode = EXIT.notFound;
  }
  return exitCode;
}

/** One request for each prefix, and one for the keys of a bucket. */
function workOf(places: readonly string[], isRecursive: boolean): Work[] {
  if (isRecursive) return places.map((place) => parsePrefixAddress(place));
  const buckets = new Map<string, string[]>();
  for (const place of places) {
    const { bucket, key } = parseObjectAddress(place);
    buckets.set(bucket, [...(buckets.get(bucket) ?? []), key]);
  }
  return [...buckets].map(([bucket, keys]) => ({ bucket, keys }));
}

async function load(
  client: NodeClient,
  terminal: Terminal,
  document: Work & { readonly region: string | undefined },
  shown: string,
): Promise<State> {
  const { bucket, prefix } = document;
  const hasBar = terminal.progress.style === "bar";
  // How much it is the node does not know before it has listed all; somebody who watches wants to.
  const total = prefix === undefined || !hasBar ? undefined : await sizeOf(client, { bucket, prefix });
  const transfer = terminal.progress.transfer(shown, total);
  let last: State | undefined;
  try {
    const answer = await client.request({
      method: "POST",
      path: "/_/prewarm",
      headers: { "Content-Type": "application/json" },
      body: new TextEncoder().encode(JSON.stringify(document)),
    });
    for await (const line of linesOf(answer.body)) {
      const next = state.parse(JSON.parse(line));
      transfer.advance(next.bytes - (last?.bytes ?? 0));
      last = next;
    }
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) throw notAtoll();
    throw named(error, { bucket, key: prefix ?? "" });
  } finally {
    transfer.end();
  }
  if (!last?.done) throw notAtoll();
  return last;
}

async function sizeOf(client: NodeClient, { bucket, prefix }: PrefixAddress): Promise<number> {
  let bytes = 0;
  for await (const { objects } of listObjects(client, bucket, prefix, { isRecursive: true })) {
    for (const { size } of objects) bytes += size;
  }
  return bytes;
}

async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of body) {
    text += decoder.decode(part, { stream: true });
    const lines = text.split("\n");
    text = lines.pop()!;
    yield* lines;
    if (text.length > LINE_CHARS_MAX) throw notAtoll();
  }
}

function summary(shown: string, { objects, missing, bytes, failed, nodes, faults = [] }: State): string[] {
  return [
    `${shown}  ${counted(objects - missing, "object")}, ${formatBytes(bytes)}` +
    (missing > 0 ? `, ${missing} not there` : "") + (failed > 0 ? `, ${failed} failed` : ""),
    ...nodes.map(({ node, chunks, bytes: there, failed: lost }) =>
      `  ${node}  ${counted(chunks, "chunk")}, ${formatBytes(there)}${lost > 0 ? `, ${lost} failed` : ""}`
    ),
    ...faults.map(({ key, reason }) => `  ${printable(key)}: ${printable(reason)}`),
  ];
}

function notAtoll(): Failure {
  return new Failure(EXIT.error, "wanted the progress of a prewarm to its end, got something else", {
    code: "not-atoll",
  });
}
