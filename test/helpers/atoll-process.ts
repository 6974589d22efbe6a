/** Real nodes as real processes, on either runtime: for tests of whole rings, the demo and the benchmark. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { get } from "node:http";
import { get as getSecure } from "node:https";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { until, within } from "./deadline.ts";
import { type Memory, memoryOf } from "./process-memory.ts";
import { binary, PROJECT } from "../tools/project.ts";
import type { Runtime } from "../tools/test-commands.ts";

export type { Runtime } from "../tools/test-commands.ts";

export interface NodeOptions {
  readonly runtime: Runtime;
  readonly dataDir: string;
  /** On top of loopback and ports 0; nothing named ATOLL_* or FLY_* is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  /** What to run instead of the source. */
  readonly entry?: string;
  readonly cwd?: string;
  /** Flags of the runtime itself, before the entry. */
  readonly flags?: readonly string[];
  /** `listening` returns before the node has found its ring; default `ready`. */
  readonly until?: "listening" | "ready";
  readonly deadlineMs?: number;
  /** Once it listens, what it writes is let go unread: who measures rates would measure the reading of a log as well. */
  readonly isLogUnread?: boolean;
  /** Told as soon as there is a process, before it has done anything. */
  readonly onSpawn?: (pid: number) => void;
}

export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface AtollProcess {
  readonly pid: number;
  readonly runtime: Runtime;
  readonly publicUrl: string;
  readonly peerUrl: string;
  readonly nodeId: string;
  /** Its last lines, of both streams. */
  readonly lines: readonly string[];
  readonly exited: Promise<ExitStatus>;
  /** Waits until /readyz says yes. */
  ready(deadlineMs?: number): Promise<void>;
  /** Sends a signal and returns when the process is gone. A paused one is woken for anything but SIGKILL. */
  kill(signal?: NodeJS.Signals): Promise<ExitStatus>;
  pause(): void;
  resume(): void;
  /** Linux only. */
  memory(): Memory;
  [Symbol.asyncDispose](): Promise<void>;
}

const LINES_MAX = 2_000;
const START_DEADLINE_MS = 30_000;
const EXIT_DEADLINE_MS = 40_000;

/** Whoever forgets a node, or is ended by a signal, leaves no process behind. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) send(child, "SIGKILL");
});

export async function startNode(options: NodeOptions): Promise<AtollProcess> {
  const deadlineMs = options.deadlineMs ?? START_DEADLINE_MS;
  const child = launch(options);
  if (child.pid !== undefined) options.onSpawn?.(child.pid);
  const lines: string[] = [];
  const exited = new Promise<ExitStatus>((resolve) => {
    // "close" and not "exit": only then has everything it wrote been read.
    child.once("close", (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  const listening = Promise.withResolvers<Listening>();
  void exited.then(({ code, signal }) =>
    listening.reject(
      new Error(`the node ended with ${signal ?? code} before it listened\n${lines.join("\n")}`),
    )
  );
  for (const stream of [child.stdout!, child.stderr!]) {
    const reader = createInterface({ input: stream }).on("line", (line) => {
      if (lines.push(line) > LINES_MAX) lines.shift();
      const at = parseListening(line);
      if (!at) return;
      listening.resolve(at);
      if (!options.isLogUnread) return;
      reader.close();
      stream.resume();
    });
  }
  const label = `${options.runtime} node in ${options.dataDir}`;
  try {
    await once(child, "spawn");
    const at = await within(listening.promise, deadlineMs, `${label} listens`, lines);
    const node = new RunningNode(child, options.runtime, at, lines, exited);
    if (options.until !== "listening") await node.ready(deadlineMs);
    void exited.then(({ code, signal }) => {
      // Or all that a test could tell is that nobody listens there any more.
      if (!node.isToldToEnd) {
        console.error(`${label} ended by itself: ${signal ?? code}\n${lines.slice(-20).join("\n")}`);
      }
    });
    return node;
  } catch (error) {
    send(child, "SIGKILL");
    await exited;
    throw error;
  }
}

interface Listening {
  readonly publicUrl: string;
  readonly peerUrl: string;
  readonly nodeId: string;
}

class RunningNode implements AtollProcess {
  readonly pid: number;
  readonly runtime: Runtime;
  readonly publicUrl: string;
  readonly peerUrl: string;
  readonly nodeId: string;
  readonly lines: readonly string[];
  readonly exited: Promise<ExitStatus>;
  isToldToEnd = false;
  readonly #child: ChildProcess;

  constructor(
    child: ChildProcess,
    runtime: Runtime,
    at: Listening,
    lines: readonly string[],
    exited: Promise<ExitStatus>,
  ) {
    this.#child = child;
    this.pid = child.pid!;
    this.runtime = runtime;
    this.publicUrl = at.publicUrl;
    this.peerUrl = at.peerUrl;
    this.nodeId = at.nodeId;
    this.lines = lines;
    this.exited = exited;
  }

  async ready(deadlineMs = START_DEADLINE_MS): Promise<void> {
    const isReady = async () => await statusOf(`${this.publicUrl}/readyz`) === 200;
    await until(`${this.publicUrl} is ready`, deadlineMs, isReady, this.lines);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<ExitStatus> {
    this.isToldToEnd = true;
    send(this.#child, signal);
    if (signal !== "SIGKILL") send(this.#child, "SIGCONT");
    return await within(this.exited, EXIT_DEADLINE_MS, `${this.publicUrl} ends after ${signal}`, this.lines);
  }

  pause(): void {
    send(this.#child, "SIGSTOP");
  }

  resume(): void {
    send(this.#child, "SIGCONT");
  }

  memory(): Memory {
    return memoryOf(this.pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill("SIGKILL");
  }
}

/** Tests' processes crowd few cores: that a node is late there says nothing of what is asked of it. Benchmarks have the default. */
const OF_TESTS = process.argv[1]?.endsWith(".test.ts") ? { ATOLL_MAX_LATENESS: "0s" } : {};

function launch(options: NodeOptions): ChildProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(PORT$|ATOLL_|FLY_|NODE_)/.test(name));
  const entry = options.entry ?? join(PROJECT, "src", "main.ts");
  const flags = [...(options.runtime === "deno" ? ["run", "-A"] : []), ...(options.flags ?? [])];
  const child = spawn(binary(options.runtime), [...flags, entry], {
    cwd: options.cwd ?? PROJECT,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...Object.fromEntries(inherited),
      DENO_NO_UPDATE_CHECK: "1",
      NO_COLOR: "1",
      PORT: "0",
      ATOLL_HOST: "127.0.0.1",
      ATOLL_PEER_PORT: "0",
      ATOLL_DATA_DIR: options.dataDir,
      ...OF_TESTS,
      ...options.env,
    },
  });
  running.add(child);
  return child;
}

/**
 * Not `child.kill`: on Deno that takes the first signal, a mere SIGSTOP too, for the end of the process, closes the pipes
 * and sends no other.
 */
function send(child: ChildProcess, signal: NodeJS.Signals): void {
  // Once it was reaped its number may be somebody else's.
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(child.pid, signal);
  } catch (error) {
    // It ended by itself a moment ago.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function parseListening(line: string): Listening | undefined {
  if (!line.startsWith("{") || !line.includes('"listening"')) return undefined;
  const entry = JSON.parse(line) as Record<string, unknown>;
  const { publicUrl, peerUrl, nodeId } = entry;
  if (entry["message"] !== "listening") return undefined;
  if (typeof publicUrl !== "string" || typeof peerUrl !== "string" || typeof nodeId !== "string") {
    return undefined;
  }
  return { publicUrl, peerUrl, nodeId };
}

/** On a connection of its own, so that nothing is left open; undefined when nobody answers. */
function statusOf(url: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const ask = url.startsWith("https:") ? getSecure : get;
    const options = { agent: false, timeout: 2_000, rejectUnauthorized: false } as const;
    const request = ask(url, options, (response) => {
      response.resume();
      response.once("close", () => resolve(response.statusCode));
    });
    request.once("timeout", () => request.destroy());
    request.once("error", () => resolve(undefined));
  });
}
