/** One request as the handlers see it, whether it came over a socket or in process. */
import { AtollError, messageOf } from "../errors.ts";
import type { ConnectionEnv } from "./answer.ts";
import type { Trace } from "./traceparent.ts";

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

/** Of a request that came over no socket. */
export function targetOf(request: Request | undefined): string {
  const url = request?.url ?? "";
  return url.slice(url.indexOf("/", url.indexOf("://") + 3));
}

export function headerReader(
  env: ConnectionEnv,
  request: Request | undefined,
): (name: string) => string | undefined {
  const headers = env.incoming?.headers;
  if (!headers) return (name) => request?.headers.get(name) ?? undefined;
  return (name) => {
    const value = headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  };
}

export function headerNames(env: ConnectionEnv, request: Request | undefined): Iterable<string> {
  return env.incoming ? Object.keys(env.incoming.headers) : request?.headers.keys() ?? [];
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
