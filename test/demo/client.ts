/** A plain HTTP client for the demo: what curl would do, with a word about progress. */
import { createHash } from "node:crypto";
import { type IncomingHttpHeaders, request } from "node:http";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly sizeBytes: number;
  /** Of the body, lower-case hex. */
  readonly sha256: string;
  /** The body's first bytes as text. */
  readonly text: string;
  readonly seconds: number;
}

const PIECE_BYTES = 256 << 10;
const TEXT_BYTES_MAX = 256 << 10;

export interface Call {
  readonly method: "GET" | "PUT" | "DELETE";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Bytes handed to the node so far. */
  onSent?(bytes: number): void;
}

export function call(options: Call): Promise<Answer> {
  const startedMs = performance.now();
  const body = options.body;
  const headers = { ...options.headers, ...(body ? { "Content-Length": String(body.length) } : {}) };
  return new Promise((resolve, reject) => {
    const outgoing = request(options.url, { method: options.method, headers, agent: false }, (response) => {
      const digest = createHash("sha256");
      let sizeBytes = 0;
      let text = "";
      response.on("data", (part: Buffer) => {
        digest.update(part);
        sizeBytes += part.length;
        if (text.length < TEXT_BYTES_MAX) text += part.toString("utf8", 0, TEXT_BYTES_MAX);
      });
      response.once("error", reject);
      response.once("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          sizeBytes,
          sha256: digest.digest("hex"),
          text,
          seconds: (performance.now() - startedMs) / 1000,
        }));
    });
    outgoing.once("error", reject);
    if (body) send(body);
    else outgoing.end();

    function send(bytes: Uint8Array, at = 0): void {
      const end = Math.min(at + PIECE_BYTES, bytes.length);
      outgoing.write(bytes.subarray(at, end), (error) => {
        if (error) return; // comes as "error" as well
        options.onSent?.(end);
        if (end < bytes.length) send(bytes, end);
        else outgoing.end();
      });
    }
  });
}
