/** Uploads as the nodes' own interface takes them. */
import type { Upload } from "../../src/node/put-object.ts";

/** An upload of one part and announced length. */
export function uploadOf(name: string, bytes: Uint8Array, headers: Record<string, string> = {}): Upload {
  return { name, body: oneByOne([bytes]), maxBytes: 1 << 30, sizeBytes: bytes.length, digests: [], headers };
}

export async function* oneByOne(parts: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* parts;
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
