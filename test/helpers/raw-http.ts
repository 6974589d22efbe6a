/**
 * An HTTP/1.1 client by hand: the same on both runtimes, whatever their own clients tidy up, retry or keep open. It sends
 * what it is told to, stops reading when it is told to, and breaks off as told.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls, TLSSocket } from "node:tls";
import { within } from "./deadline.ts";

const DEADLINE_MS = 15_000;

export interface Reply {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface Asking {
  readonly method?: string;
  /** As it goes onto the wire; default: that of the URL, which tidies up. */
  readonly target?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly deadlineMs?: number;
}

interface Head {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined when it comes in chunks. */
  readonly bodyBytes: number | undefined;
}

const HEAD_END = Buffer.from("\r\n\r\n");
/** Only short answers come in chunks, so where the last one is may be found by its looks. */
const LAST_CHUNK = Buffer.from("\r\n0\r\n\r\n");

export class RawHttp {
  readonly #socket: Socket;
  readonly #host: string;
  readonly #closed: Promise<void>;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #ended = false;
  #wake = () => {};

  private constructor(socket: Socket, host: string) {
    this.#socket = socket;
    this.#host = host;
    this.#closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("data", (part: Buffer) => {
      this.#received.push(part);
      this.#receivedBytes += part.length;
      this.#wake();
    });
    const ended = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on("end", ended);
    socket.on("close", ended);
    socket.on("error", ended); // a reset is one of the ways in which a server closes
  }

  /** Rejects when nobody listens there. */
  static async open(url: string): Promise<RawHttp> {
    const { protocol, host, hostname, port } = new URL(url);
    if (protocol === "https:") {
      // Whose certificate it is, others look at.
      const secure = connectTls({ host: hostname, port: Number(port), rejectUnauthorized: false });
      await once(secure, "secureConnect");
      return new RawHttp(secure, host);
    }
    const socket = connect(Number(port), hostname);
    await once(socket, "connect");
    return new RawHttp(socket, host);
  }

  /** A request's head; Content-Length only if it is among the headers. */
  head(method: string, target: string, headers: Readonly<Record<string, string>> = {}): void {
    const all = Object.entries({ Host: this.#host, ...headers });
    this.write(
      `${method} ${target} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
    );
  }

  write(bytes: Uint8Array | string): void {
    this.#socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Returns when everything written is in the kernel's hands, or never will be. */
  async flushed(): Promise<void> {
    const taken = new Promise<void>((resolve) => this.#socket.write("", () => resolve()));
    await within(Promise.race([taken, this.#closed]), DEADLINE_MS, "the server takes what was sent");
  }

  /** Half-closes, as a client does that has nothing more to say. */
  end(): void {
    this.#socket.end();
  }

  /** Resets the connection. */
  cut(): void {
    if (this.#socket instanceof TLSSocket) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  /** Takes nothing more out of the kernel's buffer. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Of what came since the last whole reply. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** The next reply's status line and headers, which stay where they are. */
  async begun(deadlineMs = DEADLINE_MS): Promise<void> {
    await this.#wait(() => this.#parseHead("GET") !== undefined, deadlineMs, "an answer begins");
  }

  /** The next reply; `method` is the request's, since an answer to HEAD has no body. 100 Continue is one of its own. */
  async reply(method = "GET", deadlineMs = DEADLINE_MS): Promise<Reply> {
    let head: Head | undefined;
    let endsAt: number | undefined;
    await this.#wait(
      () => {
        head ??= this.#parseHead(method);
        endsAt = head && this.#endOf(head);
        return endsAt !== undefined && this.#receivedBytes >= endsAt;
      },
      deadlineMs,
      `an answer to ${method} is whole`,
    );
    const { status, headers, bodyBytes } = head!;
    const all = Buffer.concat(this.#received);
    const body = all.subarray(this.#headBytes(), endsAt);
    this.#received = [all.subarray(endsAt)];
    this.#receivedBytes = all.length - endsAt!;
    return { status, headers, body: bodyBytes === undefined ? joinChunks(body) : body };
  }

  /** All that came and was no part of a reply yet, once the server has closed. */
  async closed(deadlineMs = DEADLINE_MS): Promise<Buffer> {
    await within(this.#closed, deadlineMs, `the server closes; so far: ${this.#text()}`);
    return Buffer.concat(this.#received);
  }

  async #wait(condition: () => boolean, deadlineMs: number, label: string): Promise<void> {
    const met = (async () => {
      while (!condition()) {
        if (this.#ended) throw new Error(`closed before ${label}: ${this.#text()}`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    })();
    try {
      await within(met, deadlineMs, label);
    } catch (error) {
      this.#socket.destroy(); // or the test's process would not end
      throw error;
    }
  }

  /** How many bytes from here the reply takes; undefined while that is not known. */
  #endOf({ bodyBytes }: Head): number | undefined {
    if (bodyBytes !== undefined) return this.#headBytes() + bodyBytes;
    this.#received = [Buffer.concat(this.#received)];
    const at = this.#received[0]!.indexOf(LAST_CHUNK);
    return at === -1 ? undefined : at + LAST_CHUNK.length;
  }

  #headBytes(): number {
    const at = this.#first().indexOf(HEAD_END);
    return at === -1 ? 0 : at + HEAD_END.length;
  }

  #parseHead(method: string): Head | undefined {
    const headBytes = this.#headBytes();
    if (headBytes === 0) return undefined;
    const [line = "", ...lines] = this.#first().toString("latin1", 0, headBytes - 4).split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1]);
    if (!(status >= 100)) throw new Error(`wanted a status line, got ${JSON.stringify(line)}`);
    const headers: Record<string, string> = {};
    for (const field of lines) {
      const colon = field.indexOf(":");
      headers[field.slice(0, colon).toLowerCase()] = field.slice(colon + 1).trim();
    }
    const isBare = method === "HEAD" || status < 200 || status === 204 || status === 304;
    if (isBare) return { status, headers, bodyBytes: 0 };
    if (headers["transfer-encoding"] === "chunked") return { status, headers, bodyBytes: undefined };
    const length = headers["content-length"];
    if (length === undefined) throw new Error(`wanted an answer with an end, got ${JSON.stringify(headers)}`);
    return { status, headers, bodyBytes: Number(length) };
  }

  /** A head may come in pieces; bodies are joined only when they are whole. */
  #first(): Buffer {
    if (this.#received.length > 1 && this.#received[0]!.indexOf(HEAD_END) === -1) {
      this.#received = [Buffer.concat(this.#received)];
    }
    return this.#received[0] ?? Buffer.alloc(0);
  }

  #text(): string {
    return JSON.stringify(this.#first().toString("latin1", 0, 500));
  }
}

/** The content of what came in chunks. */
export function joinChunks(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0;;) {
    const lineEnd = body.indexOf("\r\n", at);
    const sizeBytes = Number.parseInt(body.toString("latin1", at, lineEnd), 16);
    if (!(sizeBytes > 0)) return Buffer.concat(parts);
    parts.push(body.subarray(lineEnd + 2, lineEnd + 2 + sizeBytes));
    at = lineEnd + 4 + sizeBytes;
  }
}

/** One request on a connection of its own. Rejects when there is no whole answer, or nobody listens. */
export async function ask(url: string, asking: Asking = {}): Promise<Reply> {
  const { method = "GET", body, deadlineMs } = asking;
  const { pathname, search } = new URL(url);
  const connection = await RawHttp.open(url);
  try {
    const bytes = typeof body === "string" ? Buffer.from(body) : body;
    connection.head(method, asking.target ?? pathname + search, {
      Connection: "close",
      ...(bytes && { "Content-Length": String(bytes.length) }),
      ...asking.headers,
    });
    if (bytes) connection.write(bytes);
    return await connection.reply(method, deadlineMs);
  } finally {
    connection.cut();
  }
}

export function put(url: string, body: Uint8Array | string, asking: Asking = {}): Promise<Reply> {
  return ask(url, { method: "PUT", body, ...asking });
}

/** What a problem document calls itself; undefined where the answer is none. */
export function codeOf({ headers, body }: Reply): string | undefined {
  if (headers["content-type"] !== "application/problem+json") return undefined;
  return (JSON.parse(body.toString("utf8")) as { code: string }).code;
}

/** One number of a node's /metrics; the sum where there are labels, 0 where there is no such series yet. */
export async function metricOf(publicUrl: string, name: string): Promise<number> {
  return (await metricsOf(publicUrl, [name]))[0]!;
}

/** Several, of the same moment. */
export async function metricsOf(publicUrl: string, names: readonly string[]): Promise<number[]> {
  const { body } = await ask(`${publicUrl}/metrics`);
  const lines = body.toString("utf8").split("\n");
  return names.map((name) => {
    let sum = 0;
    for (const line of lines) {
      if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.split(" ").at(-1));
    }
    return sum;
  });
}
