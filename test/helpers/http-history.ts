/**
 * Clients that do all there is to do to a few objects, by HTTP and through any node, and what they saw. An object that has
 * been through as much as the checker takes makes room for a new one.
 */
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type Body, bodyOf, drawSize } from "../simulation/bodies.ts";
import { type Input, OBJECT_MODEL, type Output } from "../simulation/model.ts";
import type { SeededRandom } from "./fake-random.ts";
import { linearize, type Operation } from "./linearizability.ts";
import { codeOf, RawHttp, type Reply } from "./raw-http.ts";

/** At a time; the fewer, the more they get in each other's way. */
const OBJECTS = 3;
/** Of one object, begun; the checker takes 64, and some are still to come at the end. */
const OPERATIONS_MAX = 48;
const BUCKET = "history";
const THINK_MS_MAX = 120;
/** No request may take that long, whatever happens: a node's own deadlines, and a pause of it. */
const STUCK_MS = 25_000;
/** Told to a client as "it was not done"; the checker finds out if it was. */
const SURELY_NOT: readonly (string | undefined)[] = ["no-quorum", "overloaded", "draining", "storage-full"];

interface History {
  readonly target: string;
  readonly operations: Operation<Input, Output>[];
  begun: number;
}

type Outcome = Output | "unknown" | "not-done";

/** Where the clients find nodes; who comes and goes meanwhile is looked up each time. */
export interface Playground {
  readonly nodes: readonly { readonly publicUrl: string }[];
}

/** An operation that was not done, or of which nobody knows. */
export interface Failed {
  readonly publicUrl: string;
  /** What was asked and what came. */
  readonly told: string;
}

export class HttpHistory {
  readonly #ring: Playground;
  readonly #random: SeededRandom;
  readonly #all: History[] = [];
  #open: History[] = [];
  #isHeld = false;
  #resume = Promise.withResolvers<void>();
  #isOver = false;
  #bodies = 0;
  /** How operations ended, for whoever reads the log: a run in which nothing succeeded proves nothing. */
  readonly ends = new Map<string, number>();
  /** Of those, all that did not go well. */
  readonly failed: Failed[] = [];
  longestMs = 0;

  constructor(ring: Playground, random: SeededRandom) {
    this.#ring = ring;
    this.#random = random;
  }

  /** Resolves when there will be no more operations; rejects at once when a node said something no node may say. */
  async play(clients: number): Promise<void> {
    await Promise.all(Array.from({ length: clients }, () => this.#client()));
  }

  /** Nobody begins anything until `goOn`. */
  hold(): void {
    this.#isHeld = true;
  }

  goOn(): void {
    this.#isHeld = false;
    this.#resume.resolve();
    this.#resume = Promise.withResolvers<void>();
  }

  end(): void {
    this.#isOver = true;
    this.goOn();
  }

  /** Reads everything at every node, all of which must answer now, and looks for an order that explains it all. */
  async check(): Promise<{ objects: number; operations: number }> {
    let operations = 0;
    for (const history of this.#all) {
      for (const index of this.#ring.nodes.keys()) {
        const output = await this.#perform(history, index, "read", 0);
        if (!output) throw new Error(`wanted ${history.target} from node ${index}, all is quiet`);
      }
      operations += history.operations.length;
      if (linearize(history.operations, OBJECT_MODEL)) continue;
      const lines = history.operations.toSorted((a, b) => a.calledAt - b.calledAt).map(lineOf);
      throw new Error(`no order explains ${history.target}:\n${lines.join("\n")}`);
    }
    return { objects: this.#all.length, operations };
  }

  async #client(): Promise<void> {
    const seen = new Map<History, number>();
    const random = this.#random;
    while (!this.#isOver) {
      await delay(random.below(THINK_MS_MAX));
      if (this.#isHeld) await this.#resume.promise;
      if (this.#isOver) return;
      const history = this.#pick();
      const kind = random.pick(
        ["read", "read", "read", "put", "put", "create", "cas", "cas", "delete"] as const,
      );
      const index = random.below(this.#ring.nodes.length);
      const output = await this.#perform(history, index, kind, seen.get(history) ?? 0);
      if (output) seen.set(history, output.version);
    }
  }

  #pick(): History {
    this.#open = this.#open.filter((history) => history.begun < OPERATIONS_MAX);
    while (this.#open.length < OBJECTS) {
      const history = { target: `/${BUCKET}/object-${this.#all.length}`, operations: [], begun: 0 };
      this.#open.push(history);
      this.#all.push(history);
    }
    const history = this.#random.pick(this.#open);
    history.begun++;
    return history;
  }

  async #perform(
    history: History,
    index: number,
    kind: Input["kind"],
    ifVersion: number,
  ): Promise<Output | undefined> {
    const label = `${history.target} ${this.#bodies++}`;
    const body = bodyOf(label, drawSize((limit) => this.#random.below(limit)));
    const input: Input = kind === "read" || kind === "delete"
      ? { kind }
      : kind === "cas"
      ? { kind, sha256: body.sha256, ifVersion }
      : { kind, sha256: body.sha256 };
    const calledAt = performance.now();
    const { publicUrl } = this.#ring.nodes[index]!;
    let answer = "no answer";
    const outcome = await outcomeAt(publicUrl, history.target, input, body, (reply) => {
      answer = `${reply.status} ${reply.body.toString("utf8", 0, 300)}`;
    });
    const returnedAt = performance.now();
    if (outcome === "unknown" || outcome === "not-done") {
      const ms = (returnedAt - calledAt).toFixed();
      this.failed.push({ publicUrl, told: `${kind} ${history.target} after ${ms} ms: ${answer}` });
    }
    this.longestMs = Math.max(this.longestMs, returnedAt - calledAt);
    const end = typeof outcome === "string" ? outcome : outcome.kind;
    this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
    if (outcome === "not-done" || (outcome === "unknown" && kind === "read")) return undefined;
    const output = outcome === "unknown" ? undefined : outcome;
    history.operations.push({ input, output, calledAt, returnedAt: output ? returnedAt : Infinity });
    return output;
  }
}

async function outcomeAt(
  url: string,
  target: string,
  input: Input,
  body: Body,
  onReply: (reply: Reply) => void,
): Promise<Outcome> {
  const connection = await RawHttp.open(url).catch(() => undefined);
  if (!connection) return "not-done"; // nobody is there to do it
  const begunMs = performance.now();
  try {
    const { method, headers, bytes } = requestOf(input, body);
    connection.head(method, target, { Connection: "close", ...headers });
    if (bytes) connection.write(bytes);
    const reply = await connection.reply(method, STUCK_MS);
    onReply(reply);
    return outcomeOf(reply, input, target);
  } catch (error) {
    if (error instanceof Violation) throw error;
    if (performance.now() - begunMs >= STUCK_MS) {
      throw new Violation(`${input.kind} ${target} at ${url} is stuck`);
    }
    return "unknown"; // the connection broke
  } finally {
    connection.cut();
  }
}

function requestOf(input: Input, { bytes }: Body): {
  method: string;
  headers: Record<string, string>;
  bytes?: Uint8Array;
} {
  if (input.kind === "read") return { method: "GET", headers: {} };
  if (input.kind === "delete") return { method: "DELETE", headers: {} };
  const condition: Record<string, string> = input.kind === "create"
    ? { "If-None-Match": "*" }
    : input.kind === "cas"
    ? { "Atoll-If-Version": String(input.ifVersion) }
    : {};
  return { method: "PUT", headers: { "Content-Length": String(bytes.length), ...condition }, bytes };
}

function outcomeOf(reply: Reply, { kind }: Input, target: string): Outcome {
  const { status, headers, body } = reply;
  const version = Number(headers["atoll-version"] ?? 0);
  if (status === 503 || status === 507) {
    if (SURELY_NOT.includes(codeOf(reply))) return "not-done";
  }
  if (status === 504) return "unknown";
  // A fault says nothing about what was done; the log of the run counts them.
  if (status === 500) return "unknown";
  switch (kind) {
    case "read": {
      if (status === 404) return { kind: "absent", version };
      if (status !== 200) break;
      const sha256 = createHash("sha256").update(body).digest("hex");
      if (headers["etag"] !== `"${sha256}"`) {
        throw new Violation(`wrong bytes of ${target}, version ${version}`);
      }
      return { kind: "found", version, sha256 };
    }
    case "delete":
      if (status === 204) return { kind: "deleted", version };
      break;
    default:
      if (status === 200 || status === 201) return { kind: "stored", version, created: status === 201 };
      if (status === 412 && kind !== "put") return { kind: "conflict", version };
  }
  throw new Violation(`${kind} ${target} got ${status} ${body.toString("utf8", 0, 500)}`);
}

class Violation extends Error {}

function lineOf({ input, output, calledAt, returnedAt }: Operation<Input, Output>): string {
  const times = `${calledAt.toFixed(1)}–${returnedAt.toFixed(1)}`;
  const short = (_: string, value: unknown) =>
    typeof value === "string" && value.length === 64 ? value.slice(0, 8) : value;
  return `${times} ${JSON.stringify(input, short)} ${JSON.stringify(output, short) ?? "unknown"}`;
}
