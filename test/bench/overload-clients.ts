/**
 * Clients of the overload benchmark: a connection each, with at most one upload under way. Arrivals come at a set rate,
 * whether earlier ones were answered or not, and go to a client that is free. Raw sockets and one buffer for all that is
 * read: whoever makes the load must not take the processor from what it measures.
 */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const BATCH = 100;
const TICK_MS = 2;
const READ_BYTES = 64 << 10;
const SPACE = 0x20;

export interface Tally {
  done: number;
  refused: number;
  /** Cut, or neither stored nor told to come back. */
  failed: number;
  readonly doneMs: number[];
  readonly refusedMs: number[];
}

export interface Offered extends Tally {
  offered: number;
  /** Due when every client was busy, or waited as it had been told to. */
  heldBack: number;
  /** Sent and not answered when the time was over. */
  open: number;
}

interface Answer {
  readonly status: number;
  readonly retryAfterMs: number;
}

/** One connection, made anew when the other side ends it. */
class Client {
  readonly #port: number;
  readonly #host: string;
  readonly #request: (key: number) => string;
  #socket: Socket | undefined;
  #answered: ((answer: Answer) => void) | undefined;

  constructor(port: number, host: string, request: (key: number) => string) {
    this.#port = port;
    this.#host = host;
    this.#request = request;
  }

  async open(): Promise<void> {
    const socket = connect({
      port: this.#port,
      host: this.#host,
      noDelay: true,
      onread: { buffer: READ_BUFFER, callback: (bytes) => this.#take(bytes) },
    });
    this.#socket = socket;
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#settle({ status: 0, retryAfterMs: 0 });
    });
    await Promise.race([once(socket, "connect"), once(socket, "close")]);
  }

  close(): void {
    this.#socket?.destroy();
  }

  async put(key: number): Promise<Answer> {
    if (!this.#socket) await this.open();
    return await new Promise((resolve) => {
      this.#answered = resolve;
      if (this.#socket) this.#socket.write(this.#request(key), "latin1");
      else this.#settle({ status: 0, retryAfterMs: 0 });
    });
  }

  /** An answer to an upload is short and comes in one piece. */
  #take(bytes: number): boolean {
    let at = 0;
    let status = 0;
    while (READ_BUFFER[at++] !== SPACE);
    for (let digit = 0; digit < 3; digit++) status = 10 * status + READ_BUFFER[at++]! - 0x30;
    const retry = status === 503 || status === 429
      ? /retry-after: (\d+)/i.exec(READ_BUFFER.toString("latin1", 0, bytes))
      : null;
    this.#settle({ status, retryAfterMs: 1_000 * Number(retry?.[1] ?? 0) });
    return true;
  }

  #settle(answer: Answer): void {
    const answered = this.#answered;
    this.#answered = undefined;
    answered?.(answer);
  }
}

/** What is read is looked at before anything else is read into it. */
const READ_BUFFER = Buffer.alloc(READ_BYTES);

export class Clients {
  readonly #all: Client[] = [];
  #keys = 0;

  /** Connects as many; each upload has `bodyBytes`. */
  static async open(publicUrl: string, count: number, bodyBytes: number): Promise<Clients> {
    const clients = new Clients();
    const { hostname, port } = new URL(publicUrl);
    const rest = ` HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${bodyBytes}\r\n\r\n`;
    const request = (key: number) => {
      const stamp = `${key} `;
      return `PUT /load/k${key}${rest}${stamp}${"x".repeat(bodyBytes - stamp.length)}`;
    };
    while (clients.#all.length < count) {
      const batch = Array.from(
        { length: Math.min(BATCH, count - clients.#all.length) },
        () => new Client(Number(port), hostname, request),
      );
      await Promise.all(batch.map((client) => client.open()));
      clients.#all.push(...batch);
    }
    return clients;
  }

  close(): void {
    for (const client of this.#all) client.close();
  }

  /** `count` of them, each beginning its next upload when its last was answered. */
  async closedLoop(count: number, forMs: number): Promise<Tally> {
    const tally = nothing();
    const untilMs = performance.now() + forMs;
    await Promise.all(
      this.#all.slice(0, count).map(async (client) => {
        while (performance.now() < untilMs) await this.#one(client, tally);
      }),
    );
    return tally;
  }

  /** `honest`: whoever was turned away does not come back before it was told to. */
  async openLoop(perSecond: number, forMs: number, honest: boolean): Promise<Offered> {
    const tally = nothing();
    const free = [...this.#all];
    const waiting: { readonly untilMs: number; readonly client: Client }[] = [];
    let [offered, heldBack, open] = [0, 0, 0];
    const begin = async (client: Client): Promise<void> => {
      offered++;
      open++;
      const waitMs = await this.#one(client, tally);
      open--;
      if (honest && waitMs > 0) waiting.push({ untilMs: performance.now() + waitMs, client });
      else free.push(client);
    };
    const begunMs = performance.now();
    for (let nowMs = begunMs; nowMs < begunMs + forMs; nowMs = performance.now()) {
      let over = 0;
      while (over < waiting.length && waiting[over]!.untilMs <= nowMs) free.push(waiting[over++]!.client);
      if (over > 0) waiting.splice(0, over);
      for (const due = (nowMs - begunMs) * perSecond / 1_000; offered + heldBack < due;) {
        // Any of them: the same few would otherwise make all the load.
        const at = Math.floor(Math.random() * free.length);
        const client = free[at];
        if (!client) {
          heldBack++;
          continue;
        }
        free[at] = free.at(-1)!;
        free.pop();
        void begin(client);
      }
      await delay(TICK_MS);
    }
    // What is answered after the time is over counts for nothing.
    return { ...tally, offered, heldBack, open };
  }

  /** Ms for which it was told to stay away. */
  async #one(client: Client, tally: Tally): Promise<number> {
    const begunMs = performance.now();
    const { status, retryAfterMs } = await client.put(this.#keys++);
    const tookMs = performance.now() - begunMs;
    if (status === 201 || status === 200) {
      tally.done++;
      tally.doneMs.push(tookMs);
    } else if (status === 503 || status === 429) {
      tally.refused++;
      tally.refusedMs.push(tookMs);
    } else tally.failed++;
    return retryAfterMs;
  }
}

const nothing = (): Tally => ({ done: 0, refused: 0, failed: 0, refusedMs: [], doneMs: [] });
