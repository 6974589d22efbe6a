/**
 * etcd (v3) through its gRPC gateway: JSON over HTTP, keys and values in base64, 64-bit numbers as strings.
 * https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/
 *
 * Every call has a deadline. Faults: `peer-unreachable` when it was surely not carried out, `outcome-unknown` when it may
 * have been, `peer-refused` when etcd said no, `peer-garbage` for what cannot be read.
 */
import { Buffer } from "node:buffer";
import { Agent, request } from "undici";
import type { z } from "zod";
import { AtollError, isAtollError, messageOf } from "../errors.ts";
import type { Clock } from "../ports.ts";

/** Of one endpoint. */
const CALL_MS = 3_000;
const CONNECT_MS = 2_000;
/** Of one answer, or of one message of a stream. */
const MESSAGE_BYTES_MAX = 4 << 20;
/** A registration, a watch, and documents. */
const CONNECTIONS = 4;

/** No connection came about; nothing was sent. */
const NOT_SENT = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
]);

export class EtcdGateway {
  readonly #endpoints: readonly string[];
  readonly #clock: Clock;
  readonly #agent = new Agent({
    connections: CONNECTIONS,
    connect: { timeout: CONNECT_MS },
    // The deadlines are our own.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  /** The endpoint that is asked first: the one that answered last. */
  #first = 0;

  constructor(endpoints: readonly string[], clock: Clock) {
    this.#endpoints = endpoints;
    this.#clock = clock;
  }

  /** For what may be done twice: asks one endpoint after another until one answers. */
  async call<T>(path: string, body: object, schema: z.ZodType<T>): Promise<T> {
    return await this.#tryEach(
      (endpoint) => this.#once(endpoint, path, body, schema),
      (error) => !isAtollError(error, "peer-refused"),
    );
  }

  /** For what must not: goes on to the next endpoint only when this one surely did nothing. */
  async callOnce<T>(path: string, body: object, schema: z.ZodType<T>): Promise<T> {
    return await this.#tryEach(
      (endpoint) => this.#once(endpoint, path, body, schema),
      (error) => isAtollError(error, "peer-unreachable"),
    );
  }

  /**
   * One message after another, from one endpoint, the first of them in the time of a call; resolves when the stream ends
   * or `signal` aborts.
   */
  async stream<T>(
    path: string,
    body: object,
    schema: z.ZodType<T>,
    onMessage: (message: T) => void,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.#tryEach(async (endpoint) => {
        const deadline = this.#deadline();
        let text = "";
        const decoder = new TextDecoder();
        try {
          const either = AbortSignal.any([deadline.signal, signal]);
          for await (const part of await this.#open(endpoint, path, body, either)) {
            deadline.met();
            const lines = (text + decoder.decode(part, { stream: true })).split("\n");
            text = lines.pop()!;
            if (text.length > MESSAGE_BYTES_MAX) throw garbage(endpoint, "a shorter message", text);
            for (const line of lines) onMessage(parsed(endpoint, line, schema));
          }
        } catch (error) {
          throw isAtollError(error) ? error : lost(endpoint, error);
        } finally {
          deadline.met();
        }
      }, (error) => !signal.aborted && isAtollError(error, "peer-unreachable"));
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #tryEach<T>(attempt: (endpoint: string) => Promise<T>, mayGoOn: (error: unknown) => boolean) {
    let left = this.#endpoints.length;
    for (;;) {
      try {
        return await attempt(this.#endpoints[this.#first]!);
      } catch (error) {
        // Whoever asks next begins with another one too.
        this.#first = (this.#first + 1) % this.#endpoints.length;
        left--;
        if (left === 0 || !mayGoOn(error)) throw error;
      }
    }
  }

  async #once<T>(endpoint: string, path: string, body: object, schema: z.ZodType<T>): Promise<T> {
    const deadline = this.#deadline();
    try {
      const parts: Buffer[] = [];
      let sizeBytes = 0;
      for await (const part of await this.#open(endpoint, path, body, deadline.signal)) {
        sizeBytes += part.length;
        if (sizeBytes > MESSAGE_BYTES_MAX) throw garbage(endpoint, "a shorter answer", "");
        parts.push(part);
      }
      return parsed(endpoint, Buffer.concat(parts).toString("utf8"), schema);
    } catch (error) {
      throw isAtollError(error) ? error : lost(endpoint, error);
    } finally {
      deadline.met();
    }
  }

  #deadline(): { readonly signal: AbortSignal; readonly met: () => void } {
    const late = new AbortController();
    const error = new Error(`no answer within ${CALL_MS} ms`);
    return { signal: late.signal, met: this.#clock.after(CALL_MS, () => late.abort(error)) };
  }

  /** The body of a good answer; a refusal rejects. */
  async #open(
    endpoint: string,
    path: string,
    body: object,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Buffer>> {
    let answer;
    try {
      answer = await request(endpoint + path, {
        dispatcher: this.#agent,
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        signal,
      });
    } catch (error) {
      throw lost(endpoint, error);
    }
    if (answer.statusCode === 200) return answer.body as AsyncIterable<Buffer>;
    const said = (await answer.body.text()).slice(0, 200);
    // 500 and 503 come of a member without a leader, or too slow to have one's agreement: that may still come about.
    throw new AtollError(
      answer.statusCode < 500 ? "peer-refused" : "outcome-unknown",
      `wanted 200 of ${endpoint}${path}, got ${answer.statusCode}: ${said}`,
    );
  }
}

function lost(endpoint: string, cause: unknown): AtollError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return new AtollError(
    NOT_SENT.has(code) ? "peer-unreachable" : "outcome-unknown",
    `wanted an answer of etcd at ${endpoint}, got ${messageOf(cause) || code}`,
    { cause },
  );
}

function parsed<T>(endpoint: string, text: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw garbage(endpoint, "what etcd says", text, cause);
  }
}

function garbage(endpoint: string, wanted: string, text: string, cause?: unknown): AtollError {
  return new AtollError(
    "peer-garbage",
    `wanted ${wanted} from ${endpoint}, got ${JSON.stringify(text.slice(0, 80))}`,
    { cause },
  );
}
