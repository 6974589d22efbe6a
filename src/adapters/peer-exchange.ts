/**
 * One request and its answer over an HTTP/2 connection of undici's, with what the coordinator must know of a failure:
 * whether the request can have been carried out.
 */
import { Buffer } from "node:buffer";
import type { Dispatcher } from "undici";
import { AtollError, messageOf } from "../errors.ts";

export interface ExchangeRequest {
  readonly method: "GET" | "PUT" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer | undefined;
  /** Bytes of an answer that is still read. */
  readonly answerBytesMax: number;
  /** Told of each piece of the answer's body. */
  readonly onProgress?: (() => void) | undefined;
}

export interface ExchangeAnswer {
  readonly status: number;
  header(name: string): string | undefined;
  readonly body: Uint8Array;
}

export class Exchange implements Dispatcher.DispatchHandler {
  /** Rejects with an AtollError. */
  readonly answer: Promise<ExchangeAnswer>;
  readonly #url: string;
  readonly #bytesMax: number;
  readonly #onProgress: (() => void) | undefined;
  #resolve!: (answer: ExchangeAnswer) => void;
  #reject!: (error: AtollError) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #cancelled = false;
  #sent = false;
  #status = 0;
  #headers: Readonly<Record<string, string | string[] | undefined>> = {};
  #parts: Buffer[] = [];
  #sizeBytes = 0;

  constructor(dispatcher: Dispatcher, url: string, request: ExchangeRequest) {
    this.#url = url;
    this.#bytesMax = request.answerBytesMax;
    this.#onProgress = request.onProgress;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { method, path, headers, body = null } = request;
    // The deadline is the caller's own; undici's timers would only disagree with it.
    dispatcher.dispatch(
      { method, path, headers: { ...headers }, body, headersTimeout: 0, bodyTimeout: 0 },
      this,
    );
  }

  /** Whether it was handed to the connection: from then on nobody knows whether it is carried out. */
  get sent(): boolean {
    return this.#sent;
  }

  /** The answer is not waited for any longer; with `reset`, the other end is told. */
  cancel(reset = true): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    // Whoever cancels has an error of its own to tell.
    this.#reject(new AtollError("peer-timeout", "given up"));
    if (reset) this.#controller?.abort(new Error("given up"));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // undici starts a request again by itself when the connection said that it was refused: that would be a retry.
    if (this.#cancelled || this.#sent) {
      controller.abort(new Error(this.#sent ? "the connection was closed before the answer" : "given up"));
      return;
    }
    this.#controller = controller;
  }

  onRequestSent(): void {
    this.#sent = true;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#sizeBytes += chunk.length;
    if (this.#sizeBytes <= this.#bytesMax) {
      this.#parts.push(chunk);
      this.#onProgress?.();
    } else {
      const wanted = `wanted an answer of at most ${this.#bytesMax} bytes from ${this.#url}, got more`;
      this.#reject(new AtollError("peer-garbage", wanted));
      controller.abort(new Error(wanted));
    }
  }

  onResponseEnd(): void {
    const headers = this.#headers;
    const whole = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts, this.#sizeBytes);
    this.#parts = [];
    this.#resolve({
      status: this.#status,
      header: (name) => {
        const value = headers[name];
        return typeof value === "string" ? value : undefined;
      },
      // Not as a Buffer, whose methods differ from those of the arrays that the ports speak of.
      body: new Uint8Array(whole.buffer, whole.byteOffset, whole.byteLength),
    });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#parts = [];
    this.#reject(this.#fault(error));
  }

  #fault(cause: Error): AtollError {
    if (!this.#sent) {
      return new AtollError(
        "peer-unreachable",
        `wanted a connection to ${this.#url}, got ${messageOf(cause)}`,
        {
          cause,
        },
      );
    }
    if (isBrokenProtocol(cause)) {
      return new AtollError("peer-garbage", `wanted HTTP/2 from ${this.#url}, got ${messageOf(cause)}`, {
        cause,
      });
    }
    // No answer came and none will: to whoever asked that is what a deadline that passed would have been.
    return new AtollError("peer-timeout", `${this.#url} was lost before it answered: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** What node:http2 and nghttp2 call a peer that does not speak HTTP/2, or not by its rules. */
function isBrokenProtocol(error: Error): boolean {
  const code = "code" in error ? String(error.code) : "";
  return code === "ERR_HTTP2_ERROR" || code === "ERR_HTTP2_SESSION_ERROR" ||
    code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH";
}
