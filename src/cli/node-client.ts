/** One node, as its clients see it: HTTP requests that stream both ways, and errors in words. */
import { type Dispatcher, errors, Pool } from "undici";
import type { z } from "zod";
import { codeOf, EXIT, type ExitCode, exitCodeOf, Failure, reasonOf, usage } from "./failure.ts";
import { parseCredentials } from "./presign.ts";
import { Stall } from "./stall.ts";

const CONNECT_TIMEOUT_MS = 10_000;
const CONNECTIONS = 8;
/** Of answers that are read whole: a page of a listing holds 1,000 keys of 1 KiB, and escapes. */
const DOCUMENT_BYTES_MAX = 32 << 20;
const PROBLEM_BYTES_MAX = 4 << 20;
/** Nothing was sent on a connection that never was. */
const NEVER_CONNECTED = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "UND_ERR_CONNECT_TIMEOUT",
]);

export interface Asking {
  readonly method: "GET" | "PUT" | "DELETE" | "POST";
  /** Goes onto the wire as it is. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: AsyncIterable<Uint8Array> | Uint8Array;
  /** The connection is for this request alone: then its end is the answer's, even when both come at once. */
  readonly isAlone?: boolean;
  /** Statuses that are no errors to the caller; default: all below 300. */
  readonly expects?: readonly number[];
}

export interface Answer {
  readonly status: number;
  header(name: string): string | undefined;
  /** To be read to its end, or discarded. Throws a Failure when it is cut or stalls. */
  readonly body: AsyncIterable<Uint8Array>;
  discard(): Promise<void>;
}

export class NodeClient {
  readonly url: string;
  readonly #pool: Pool;
  readonly #basePath: string;
  readonly #authorization: string | undefined;
  readonly #timeoutMs: number;
  #connected = false;

  /** `url` may have a path, of a proxy's, and a user's name and password, for it; else `credentials` are shown: `ID.SECRET`. */
  constructor(
    options: {
      readonly url: string;
      readonly timeoutMs: number;
      readonly credentials?: string | undefined;
    },
  ) {
    const url = URL.parse(options.url);
    if (url === null || (url.protocol !== "http:" && url.protocol !== "https:") || url.search || url.hash) {
      throw usage(`wanted a node's URL like http://127.0.0.1:8080, got ${JSON.stringify(options.url)}`);
    }
    if (url.username !== "") {
      const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
      this.#authorization = `Basic ${Buffer.from(pair).toString("base64")}`;
    } else if (options.credentials !== undefined) {
      const { id, secret } = parseCredentials(options.credentials);
      this.#authorization = `Bearer ${id}.${secret}`;
    }
    this.#basePath = url.pathname.replace(/\/+$/, "");
    this.url = url.origin + this.#basePath;
    this.#timeoutMs = options.timeoutMs;
    this.#pool = new Pool(url.origin, {
      connections: CONNECTIONS,
      connect: { timeout: CONNECT_TIMEOUT_MS },
      // Stall knows when to wait for whom.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#pool.on("connect", () => (this.#connected = true));
  }

  /** Throws a Failure for an answer that is not expected, and when there is none. */
  async request(asking: Asking): Promise<Answer> {
    const stall = new Stall(this.#timeoutMs);
    const sending = new Sending(asking.body, stall);
    let response: Dispatcher.ResponseData;
    stall.wait();
    try {
      response = await this.#pool.request({
        method: asking.method,
        path: this.#basePath + asking.path,
        headers: {
          // One address is all that is known here: no redirect is followed.
          "Atoll-Route": "here",
          ...asking.headers,
          ...(this.#authorization !== undefined && { Authorization: this.#authorization }),
        },
        // undici takes any iterable, which its types do not say; a Readable would read ahead.
        body: sending.body as Uint8Array | null,
        signal: stall.signal,
        reset: asking.isAlone ?? false,
      });
    } catch (error) {
      stall.end();
      throw this.#noAnswer(asking, sending, error);
    }
    stall.rest();
    const { statusCode: status, headers, body } = response;
    const answer: Answer = {
      status,
      header: (name) => {
        const value = headers[name.toLowerCase()];
        return Array.isArray(value) ? value.join(", ") : value;
      },
      body: received(body, stall, (error) => this.#cut(error)),
      discard: async () => {
        stall.end();
        body.on("error", () => undefined); // it is of no interest any more
        body.destroy();
        await Promise.resolve();
      },
    };
    if (asking.expects ? asking.expects.includes(status) : status < 300) return answer;
    throw await this.#refusal(answer);
  }

  /** The answer as a document of that shape. `body` is sent as JSON. */
  async json<T>(asking: Asking & { readonly document?: unknown }, schema: z.ZodType<T>): Promise<T> {
    const { document, ...plain } = asking;
    const answer = await this.request(
      document === undefined ? plain : {
        ...plain,
        headers: { ...plain.headers, "Content-Type": "application/json" },
        body: new TextEncoder().encode(JSON.stringify(document)),
      },
    );
    const text = await textOf(answer, DOCUMENT_BYTES_MAX);
    const parsed = schema.safeParse(parsedJson(text));
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0]!;
    throw this.#notAtoll(
      `${asking.method} ${asking.path}: ${issue.path.join(".") || "the answer"}: ${issue.message}`,
    );
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  #noAnswer(asking: Asking, sending: Sending, error: unknown): Failure {
    if (sending.sourceError !== undefined && sending.sourceError === error) {
      return error instanceof Failure ? error : localFailureOf(error);
    }
    const code = codeOf(error);
    if (code === "UND_ERR_INVALID_ARG") return usage(`cannot be sent: ${reasonOf(error)}`);
    if (error instanceof errors.HTTPParserError) return this.#notAtoll(`no HTTP: ${reasonOf(error)}`);
    const unreachable = !this.#connected || (code !== undefined && NEVER_CONNECTED.has(code));
    if (unreachable && !(error instanceof Failure)) {
      return new Failure(
        EXIT.unavailable,
        `no node answers at ${this.url}: ${reasonOf(error)}; say where one is by --url or ATOLL_URL`,
        { code: "unreachable", cause: error },
      );
    }
    const changes = asking.method !== "GET";
    if (changes && !sending.whole) {
      return new Failure(
        EXIT.unavailable,
        `${reasonOf(error)} after ${sending.bytes} bytes were sent: nothing was stored`,
        { code: error instanceof Failure ? error.code : "cut", cause: error },
      );
    }
    if (changes) {
      return new Failure(
        EXIT.unknown,
        `${reasonOf(error)} before the answer came: whether it was done is unknown, look before trying again`,
        { code: "outcome-unknown", cause: error },
      );
    }
    return error instanceof Failure ? error : this.#cut(error);
  }

  #cut(cause?: unknown): Failure {
    return new Failure(EXIT.unavailable, `${reasonOf(cause)} before the answer was whole`, {
      code: "cut",
      cause,
    });
  }

  #notAtoll(what: string): Failure {
    return new Failure(EXIT.error, `what answers at ${this.url} is not Atoll as known here: ${what}`, {
      code: "not-atoll",
    });
  }

  /** RFC 9457; a proxy's answer need not be one. */
  async #refusal(answer: Answer): Promise<Failure> {
    const { status } = answer;
    const text = await textOf(answer, PROBLEM_BYTES_MAX).catch(() => "");
    const document = parsedJson(text);
    if (answer.header("content-type")?.startsWith("application/problem+json") && isRecord(document)) {
      const { code, detail } = document;
      const stable = typeof code === "string" ? code : `http-${status}`;
      const said = typeof detail === "string" ? detail : `answered ${status}`;
      const message = status === 401 ? `${said}; give a key by ATOLL_KEY=ID.SECRET` : said;
      const members = { ...document, etag: answer.header("etag"), version: answer.header("atoll-version") };
      return new Failure(exitCodeOf(status, stable), message, { code: stable, status, members });
    }
    const type = answer.header("content-type") ?? "no content";
    const code: ExitCode = status === 404 ? EXIT.error : exitCodeOf(status, "");
    return new Failure(code, `wanted an answer of a node's, got ${status} with ${type}`, {
      code: `http-${status}`,
      status,
    });
  }
}

/** A request's body on its way: how much went out, and whether it was the source that failed. */
class Sending {
  readonly body: AsyncIterable<Uint8Array> | Uint8Array | null;
  bytes = 0;
  whole = false;
  sourceError: unknown;

  constructor(body: Asking["body"], stall: Stall) {
    if (body === undefined || body instanceof Uint8Array) {
      this.body = body ?? null;
      this.whole = true;
    } else {
      this.body = this.#watched(body, stall);
    }
  }

  async *#watched(source: AsyncIterable<Uint8Array>, stall: Stall): AsyncGenerator<Uint8Array> {
    stall.rest();
    try {
      for await (const part of source) {
        stall.wait();
        yield part;
        this.bytes += part.length;
        stall.rest();
      }
      this.whole = true;
    } catch (error) {
      this.sourceError = error;
      throw error;
    } finally {
      stall.wait();
    }
  }
}

async function* received(
  body: AsyncIterable<Uint8Array>,
  stall: Stall,
  cut: (error: unknown) => Failure,
): AsyncGenerator<Uint8Array> {
  stall.wait();
  try {
    for await (const part of body) {
      stall.rest();
      yield part;
      stall.wait();
    }
  } catch (error) {
    throw error instanceof Failure ? error : cut(error);
  } finally {
    stall.end();
  }
}

async function textOf(answer: Answer, bytesMax: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of answer.body) {
    bytes += part.length;
    if (bytes > bytesMax) {
      throw new Failure(EXIT.error, `wanted an answer of at most ${bytesMax} bytes, got more`, {
        code: "not-atoll",
      });
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** Undefined where it is none. */
function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // SyntaxError: the one thing JSON.parse throws
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function localFailureOf(error: unknown): Failure {
  return new Failure(EXIT.error, `cannot read what was to be sent: ${reasonOf(error)}`, {
    code: "local",
    cause: error,
  });
}
