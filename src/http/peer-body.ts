/** A body of bounded size as one piece of memory. */
import { Buffer } from "node:buffer";
import { AtollError } from "../errors.ts";

/** Throws `too-large` as soon as that is known, and rejects when the sender went away before the end. */
export async function readBody(request: Request, maxBytes: number): Promise<Uint8Array> {
  const declaredBytes = Number(request.headers.get("content-length") ?? Number.NaN);
  if (declaredBytes > maxBytes) throw tooLarge(maxBytes, declaredBytes);
  if (declaredBytes === 0 || !request.body) return new Uint8Array(0);
  const reader = request.body.getReader();
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    sizeBytes += value.length;
    if (sizeBytes > maxBytes) {
      await reader.cancel();
      throw tooLarge(maxBytes, sizeBytes);
    }
    parts.push(value);
  }
  return parts.length === 1 ? parts[0]! : plain(Buffer.concat(parts, sizeBytes));
}

/** Not as a Buffer, whose methods differ from those of the arrays that the ports speak of. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function tooLarge(maxBytes: number, gotBytes: number): AtollError {
  return new AtollError("too-large", `wanted at most ${maxBytes} bytes, got ${gotBytes}`);
}
