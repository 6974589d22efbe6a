/**
 * Bodies of bounded size, in and out as one piece of memory. Where there is a connection they are read from it and
 * written to it without a web stream between, which copies every byte once more; in process, a Request and a Response do.
 */
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Buffer } from "node:buffer";
import { AtollError } from "../errors.ts";

/** What the listener passes beside the request: those of node:http2, as far as they are used. */
export interface PeerEnv {
  readonly incoming?: IncomingBody;
  readonly outgoing?: OutgoingAnswer;
}

interface IncomingBody {
  readonly socket?: { readonly remoteAddress?: string | undefined };
  readonly readableEnded: boolean;
  readonly destroyed: boolean;
  on(event: "data", listener: (part: Uint8Array) => void): unknown;
  on(event: "end" | "aborted" | "close" | "error", listener: () => void): unknown;
}

interface OutgoingAnswer {
  readonly destroyed: boolean;
  writeHead(status: number, headers: Record<string, string>): unknown;
  end(body: Uint8Array): unknown;
}

/** Throws `too-large` as soon as that is known, `incomplete-body` when the sender went away before the end. */
export async function readBody(request: Request, env: PeerEnv, maxBytes: number): Promise<Uint8Array> {
  const parts = new BodyParts(maxBytes);
  await eachPart(request, env, maxBytes, (part) => parts.add(part));
  return parts.whole();
}

/** Hands on what arrives, piece by piece; what `take` throws ends it. A declared length beyond `maxBytes` is refused. */
export async function eachPart(
  request: Request,
  env: PeerEnv,
  maxBytes: number,
  take: (part: Uint8Array) => void,
): Promise<void> {
  const declaredBytes = Number(request.headers.get("content-length") ?? Number.NaN);
  if (declaredBytes > maxBytes) throw tooLarge(maxBytes, declaredBytes);
  if (env.incoming) await readIncoming(env.incoming, take);
  else if (request.body) { for await (const part of request.body) take(part); }
}

function readIncoming(incoming: IncomingBody, take: (part: Uint8Array) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let ended = false;
    const cut = () => {
      if (ended) return; // every stream closes in the end, and an error costs its stack
      // A part that is delivered late must not be taken: by then the buffer may hold somebody else's chunk.
      ended = true;
      reject(new AtollError("incomplete-body", "wanted the whole body, got a stream that was reset"));
    };
    incoming.on("data", (part) => {
      if (ended) return;
      try {
        take(part);
      } catch (error) {
        ended = true;
        reject(error); // the stream is reset once this is answered
      }
    });
    incoming.on("end", () => {
      ended = true;
      resolve();
    });
    incoming.on("aborted", cut);
    incoming.on("error", cut);
    incoming.on("close", cut);
    if (incoming.readableEnded) resolve();
    else if (incoming.destroyed) cut();
  });
}

class BodyParts {
  readonly #maxBytes: number;
  #parts: Uint8Array[] = [];
  #sizeBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Throws `too-large`, and keeps nothing of what is. */
  add(part: Uint8Array): void {
    this.#sizeBytes += part.length;
    if (this.#sizeBytes <= this.#maxBytes) this.#parts.push(part);
    else {
      this.#parts = [];
      throw tooLarge(this.#maxBytes, this.#sizeBytes);
    }
  }

  /** Not as a Buffer, whose methods differ from those of the arrays that the ports speak of. */
  whole(): Uint8Array {
    const only = this.#parts.length === 1 ? this.#parts[0] : undefined;
    const bytes = only ?? Buffer.concat(this.#parts, this.#sizeBytes);
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

export function sendAnswer(
  { outgoing }: PeerEnv,
  status: number,
  headers: Record<string, string>,
  body: Uint8Array,
): Response {
  headers["content-length"] = String(body.length);
  if (!outgoing) return new Response(body as Uint8Array<ArrayBuffer>, { status, headers });
  if (!outgoing.destroyed) {
    outgoing.writeHead(status, headers);
    outgoing.end(body);
  }
  return RESPONSE_ALREADY_SENT;
}

function tooLarge(maxBytes: number, gotBytes: number): AtollError {
  return new AtollError("too-large", `wanted at most ${maxBytes} bytes, got ${gotBytes}`);
}
