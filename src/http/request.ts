/** One request as the handlers see it, whether it came over a socket or in process. */
import { AtollError, messageOf } from "../errors.ts";
import type { ConnectionEnv } from "./answer.ts";
import { continueTrace, type Trace } from "./traceparent.ts";

export interface PublicRequest {
  readonly method: string;
  /** As it was sent, with its query. */
  readonly target: string;
  /** By lower-case name. */
  readonly header: (name: string) => string | undefined;
  readonly headerNames: () => Iterable<string>;
  readonly id: string;
  readonly trace: Trace;
  /** Let in by a key, shown or signed with: no other host would let it in by a redirect from here. */
  readonly isKeyed?: boolean;
  readonly body: RequestBody;
}

/** RFC 9110 section 5.5's visible characters, less those that would need quoting in a log line. */
const REQUEST_ID = /^[A-Za-z0-9._:/+=@-]{1,128}$/;

/** What a client calls its request, if that may stand in a log; otherwise our own name for it. */
export function requestIdOf(given: string | undefined, own: string): string {
  return given !== undefined && REQUEST_ID.test(given) ? given : own;
}

/** HTTP/2 lets a method of any length through. None that is known is longer, so that what is cut is still none of them. */
const METHOD_CHARS_MAX = 20;

/** As it came. What few requests need is made when it is asked for: most are answered before. */
export class ReceivedRequest implements PublicRequest {
  readonly method: string;
  readonly target: string;
  header: (name: string) => string | undefined;
  readonly id: string;
  readonly #env: ConnectionEnv;
  readonly #raw: Request | undefined;
  readonly #spanId: string;
  readonly #newTraceId: string;
  #isKeyed = false;
  #trace: Trace | undefined;
  #body: RequestBody | undefined;

  /** `raw`: of a request that came over no socket. The new ids: 16 and 32 hex digits. */
  constructor(env: ConnectionEnv, raw: Request | undefined, newSpanId: string, newTraceId: string) {
    const { incoming } = env;
    this.#env = env;
    this.#raw = raw;
    this.#spanId = newSpanId;
    this.#newTraceId = newTraceId;
    this.method = (incoming?.method ?? raw?.method ?? "GET").slice(0, METHOD_CHARS_MAX);
    this.target = incoming?.url ?? targetOf(raw);
    const headers = incoming?.headers;
    // It must not know `this`: of requests that are held by what they hold, V8's quick collections throw none away.
    this.header = (name) => {
      const value = headers ? headers[name] : raw?.headers.get(name) ?? undefined;
      return Array.isArray(value) ? value.join(", ") : value;
    };
    this.id = requestIdOf(this.header("x-request-id"), newTraceId);
  }

  /** Credentials were for the door: an origin behind it, which may be shown a request's headers, is not to have them. */
  enter(isKeyed: boolean): void {
    this.#isKeyed = isKeyed;
    const { header } = this;
    if (header("authorization") === undefined) return;
    this.header = (name) => name === "authorization" ? undefined : header(name);
  }

  get isKeyed(): boolean {
    return this.#isKeyed;
  }

  get trace(): Trace {
    return this.#trace ??= continueTrace(this.header("traceparent"), this.#spanId, this.#newTraceId);
  }

  get traceId(): string {
    return this.header("traceparent") === undefined ? this.#newTraceId : this.trace.traceId;
  }

  get body(): RequestBody {
    return this.#body ??= new RequestBody(this.#env, this.#raw);
  }

  /** Of the body that were read. */
  get bodyBytes(): number {
    return this.#body?.bytes ?? 0;
  }

  headerNames(): Iterable<string> {
    const { incoming } = this.#env;
    return incoming ? Object.keys(incoming.headers) : this.#raw?.headers.keys() ?? [];
  }
}

function targetOf(request: Request | undefined): string {
  const url = request?.url ?? "";
  return url.slice(url.indexOf("/", url.indexOf("://") + 3));
}

/** Bytes that may still be thrown away, so that a client sees its early answer instead of a reset. */
const DRAIN_BYTES_MAX = 64 << 20;

/** The body, counted; a client that goes away ends it with `incomplete-body`. */
export class RequestBody implements AsyncIterable<Uint8Array> {
  readonly #env: ConnectionEnv;
  readonly #request: Request | undefined;
  bytes = 0;
  #ended = false;

  constructor(env: ConnectionEnv, request: Request | undefined) {
    this.#env = env;
    this.#request = request;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const { incoming } = this.#env;
    this.#env.continueBody?.();
    // Not closing on an early return: the answer that explains it still has to go out on the same socket.
    const parts: AsyncIterable<Uint8Array> = incoming
      ? incoming.iterator({ destroyOnReturn: false })
      : this.#request?.body ?? none();
    try {
      for await (const part of parts) {
        this.bytes += part.length;
        yield part;
      }
    } catch (error) {
      throw new AtollError(
        "incomplete-body",
        `the body broke off after ${this.bytes} bytes: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
    if (incoming && !incoming.complete) {
      throw new AtollError("incomplete-body", `the body broke off after ${this.bytes} bytes`);
    }
    this.#ended = true;
  }

  /**
   * After an answer that came before the body's end: the rest is read and thrown away, up to a limit, since closing at
   * once would reset the connection, and the client might never read why.
   */
  discard(): void {
    const { incoming } = this.#env;
    if (!incoming || this.#ended || incoming.complete || incoming.destroyed) return;
    let left = DRAIN_BYTES_MAX;
    incoming.on("data", (part: Uint8Array) => {
      left -= part.length;
      if (left < 0) incoming.destroy();
    });
    incoming.on("error", () => {
      // The client went away, as it may.
    });
    incoming.resume();
  }
}

async function* none(): AsyncGenerator<Uint8Array> {}
