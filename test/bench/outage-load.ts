/**
 * Requests at a set rate, whether earlier ones were answered or not, and their latencies from when each was due: a node
 * that stalls delays all that would have come meanwhile. Every answer to a read is checked against what was acknowledged.
 */
import { createHash } from "node:crypto";
import { Agent, request } from "node:http";

const SOCKETS_PER_NODE = 64;
const TICK_MS = 4;
const LOADERS = 64;
/** Longer than any deadline of a node's. */
const GIVE_UP_MS = 30_000;
export const BUCKET = "outage";

interface Stored {
  readonly target: string;
  /** Which of its contents was acknowledged last, and as which version. */
  content: number;
  version: number;
  /** A later one that may be there: nobody knows. */
  perhaps: number | undefined;
  isBusy: boolean;
}

export interface Sample {
  readonly kind: "read" | "write";
  readonly ms: number;
}

export interface Phase {
  readonly name: string;
  readonly startedMs: number;
  readonly samples: Sample[];
  /** Neither 200 nor 201, or no answer at all, by what it was. */
  readonly failures: Map<string, number>;
}

/** What must be on a disk. */
export interface Wanted {
  readonly name: string;
  readonly version: number;
  readonly chunk: string;
}

export class Load {
  readonly phases: Phase[] = [];
  /** Reads whose bytes were not those that were acknowledged: there must be none. */
  readonly wrong: string[] = [];
  readonly #agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_PER_NODE });
  readonly #keys: Stored[];
  readonly #bodyBytes: number;
  readonly #urls: () => readonly string[];
  #changed = new Set<Stored>();
  #turn = 0;
  #isOver = false;

  /** `urls`: the nodes that clients know to be there. */
  constructor(options: { keys: number; bodyBytes: number; urls: () => readonly string[] }) {
    this.#bodyBytes = options.bodyBytes;
    this.#urls = options.urls;
    this.#keys = Array.from({ length: options.keys }, (_, i) => ({
      target: `key-${String(i).padStart(7, "0")}`,
      content: -1,
      version: 0,
      perhaps: undefined,
      isBusy: false,
    }));
  }

  /** Stores every key once, as fast as it goes. */
  async fill(): Promise<void> {
    this.begin("filling");
    const keys = this.#keys.values();
    await Promise.all(Array.from({ length: LOADERS }, async () => {
      for (const key of keys) while (key.content < 0) await this.#write(key, performance.now());
    }));
  }

  begin(name: string): Phase {
    const phase: Phase = { name, startedMs: performance.now(), samples: [], failures: new Map() };
    this.phases.push(phase);
    return phase;
  }

  /** Until `end`. */
  async run(readsPerSecond: number, writesPerSecond: number): Promise<void> {
    const perSecond = readsPerSecond + writesPerSecond;
    const startedMs = performance.now();
    const underWay = new Set<Promise<void>>();
    for (let sent = 0; !this.#isOver;) {
      const dueCount = ((performance.now() - startedMs) / 1000) * perSecond;
      for (; sent < dueCount; sent++) {
        const key = this.#pick();
        if (!key) continue;
        const dueMs = startedMs + (sent / perSecond) * 1000;
        const isRead = Math.random() * perSecond < readsPerSecond;
        const done = (isRead ? this.#read(key, dueMs) : this.#write(key, dueMs)).finally(() =>
          underWay.delete(done)
        );
        underWay.add(done);
      }
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    await Promise.all(underWay);
  }

  end(): void {
    this.#isOver = true;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** What was acknowledged since the last call of it; or all there is. */
  changes(all = false): Wanted[] {
    const changed = all ? this.#keys : [...this.#changed];
    this.#changed = new Set();
    return changed.filter(({ perhaps }) => perhaps === undefined).map((key) => ({
      name: `${BUCKET}\0${key.target}`,
      version: key.version,
      chunk: createHash("sha256").update(this.#body(key, key.content)).digest("hex"),
    }));
  }

  #pick(): Stored | undefined {
    for (let tries = 0; tries < 10; tries++) {
      const key = this.#keys[Math.floor(Math.random() * this.#keys.length)]!;
      if (!key.isBusy) return key;
    }
    return undefined;
  }

  async #read(key: Stored, dueMs: number): Promise<void> {
    key.isBusy = true;
    const phase = this.phases.at(-1)!;
    const reply = await this.#ask("GET", key.target);
    if (reply.status === 200) {
      const right = [key.content, key.perhaps].some((content) =>
        content !== undefined && reply.body.equals(this.#body(key, content))
      );
      if (!right) {
        this.wrong.push(`${key.target}: ${reply.body.toString("utf8", 0, 40)}, wanted ${key.content}`);
      }
    } else if (reply.status === 404) this.wrong.push(`${key.target}: 404`);
    this.#count(phase, "read", reply, dueMs);
    key.isBusy = false;
  }

  async #write(key: Stored, dueMs: number): Promise<void> {
    key.isBusy = true;
    const phase = this.phases.at(-1)!;
    const content = (key.perhaps ?? key.content) + 1;
    const reply = await this.#ask("PUT", key.target, this.#body(key, content));
    if (reply.status === 200 || reply.status === 201) {
      Object.assign(key, { content, version: reply.version, perhaps: undefined });
      this.#changed.add(key);
      // Answered 503 it was surely not stored.
    } else if (reply.status !== 503) key.perhaps = content;
    this.#count(phase, "write", reply, dueMs);
    key.isBusy = false;
  }

  #count(phase: Phase, kind: Sample["kind"], { status, why }: Answer, dueMs: number): void {
    if (status === 200 || status === 201) phase.samples.push({ kind, ms: performance.now() - dueMs });
    else {
      const what = `${kind} ${status === 0 ? why : status}`;
      phase.failures.set(what, (phase.failures.get(what) ?? 0) + 1);
    }
  }

  #body(key: Stored, content: number): Buffer {
    return Buffer.alloc(this.#bodyBytes, `${key.target} ${content} `);
  }

  #ask(method: string, target: string, body?: Buffer): Promise<Answer> {
    const urls = this.#urls();
    const url = `${urls[this.#turn++ % urls.length]!}/${BUCKET}/${target}`;
    return new Promise((resolve) => {
      const fail = (why: string) => resolve({ status: 0, version: 0, body: Buffer.alloc(0), why });
      const sent = request(url, {
        method,
        agent: this.#agent,
        headers: body ? { "Content-Length": body.length } : {},
        timeout: GIVE_UP_MS,
      }, (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (part: Buffer) => parts.push(part));
        answer.once("error", () => fail("cut off"));
        answer.once("end", () =>
          resolve({
            status: answer.statusCode!,
            version: Number(answer.headers["atoll-version"] ?? 0),
            body: Buffer.concat(parts),
            why: "",
          }));
      });
      sent.once("timeout", () => sent.destroy(new Error("no answer")));
      sent.once("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
      sent.end(body);
    });
  }
}

interface Answer {
  /** 0 when there was none. */
  readonly status: number;
  readonly version: number;
  readonly body: Buffer;
  readonly why: string;
}

/** Of sorted or unsorted ms; NaN of none. */
export function percentile(samples: readonly Sample[], kind: Sample["kind"], share: number): number {
  const ms = samples.filter((sample) => sample.kind === kind).map((sample) => sample.ms).sort((a, b) =>
    a - b
  );
  return ms[Math.min(ms.length - 1, Math.ceil(share * ms.length) - 1)] ?? NaN;
}
