/** The servers side by side: the bare handler, a ring of one, a ring of three, and whoever was named. */
import { join } from "node:path";
import { type AtollProcess, type Runtime, startNode } from "../helpers/atoll-process.ts";
import { startRing } from "../helpers/atoll-ring.ts";
import { memoryOf } from "../helpers/process-memory.ts";
import { bundle } from "../tools/bundle.ts";
import { PROJECT } from "../tools/project.ts";
import { ANSWER_HEADERS } from "./answer-headers.ts";
import { listenerPids } from "./listener-pids.ts";
import type { Peer } from "./options.ts";

export interface Server {
  readonly name: string;
  /** Objects lie below it; no slash at the end. */
  readonly url: string;
  readonly headers: readonly string[];
  readonly pids: readonly number[];
}

export interface Servers extends AsyncDisposable {
  readonly bare: Server;
  readonly one: Server;
  readonly three: Server;
  readonly peers: readonly Server[];
  readonly all: readonly Server[];
}

export async function startServers(
  directory: string,
  runtime: Runtime,
  named: readonly Peer[],
): Promise<Servers> {
  await using started = new AsyncDisposableStack();
  // What people deploy, not what developers run: types have not to be stripped, and less is in memory.
  const entry = join(directory, "atoll.mjs");
  await bundle(entry);
  const bareNode = started.use(await startBare(directory, runtime));
  const oneNode = started.use(
    await startNode({ runtime, entry, dataDir: join(directory, "one"), isLogUnread: true }),
  );
  const ring = started.use(
    await startRing({
      runtimes: [runtime, runtime, runtime],
      entry,
      directory: join(directory, "three"),
      isLogUnread: true,
    }),
  );
  const bare = serverOf("bare Hono", [bareNode]);
  const one = serverOf("ring of 1", [oneNode]);
  const three = serverOf("ring of 3", ring.nodes);
  const peers = named.map((peer) => ({ ...peer, pids: listenerPids(Number(new URL(peer.url).port)) }));
  const kept = started.move();
  return {
    bare,
    one,
    three,
    peers,
    all: [bare, one, three, ...peers],
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function startBare(directory: string, runtime: Runtime): Promise<AtollProcess> {
  return startNode({
    runtime,
    dataDir: directory,
    entry: join(PROJECT, "test", "bench", "bare-handler.ts"),
    until: "listening",
  });
}

function serverOf(name: string, nodes: readonly AtollProcess[]): Server {
  return { name, url: `${nodes[0]!.publicUrl}/bench`, headers: [], pids: nodes.map((node) => node.pid) };
}

export async function store(
  server: Server,
  key: string,
  body: Uint8Array<ArrayBuffer>,
  headers: string[],
): Promise<void> {
  const response = await fetch(`${server.url}/${key}`, {
    method: "PUT",
    body,
    headers: [...server.headers, ...headers].map((header) => header.split(": ", 2) as [string, string]),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`PUT ${server.url}/${key}: wanted 2xx, got ${response.status} ${text}`);
}

/** What differs from answer to answer, or is about the connection, is each server's own. */
const OWN_HEADERS = new Set(["connection", "keep-alive", "date", "transfer-encoding", "content-length"]);

/** Tells the bare handler to answer with the headers with which Atoll does. */
export async function answerHeaders(server: Server, key: string): Promise<string> {
  const response = await fetch(`${server.url}/${key}`);
  await response.body?.cancel();
  const headers = [...response.headers].filter(([name]) => !OWN_HEADERS.has(name));
  return `${ANSWER_HEADERS}: ${JSON.stringify(Object.fromEntries(headers))}`;
}

/** The most that each process of a server held while something ran, bytes. */
export async function watchMemory<T>(
  server: Server,
  run: () => Promise<T>,
): Promise<{ result: T; rssBytes: number[] }> {
  const most = server.pids.map(() => 0);
  const look = () => {
    for (const [i, pid] of server.pids.entries()) most[i] = Math.max(most[i]!, memoryOf(pid).rssBytes);
  };
  const timer = setInterval(look, 100);
  try {
    look();
    const result = await run();
    look();
    return { result, rssBytes: most };
  } finally {
    clearInterval(timer);
  }
}
