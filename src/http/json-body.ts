/** A request's body as JSON of a form that is known. */
import type { z } from "zod";
import { AtollError } from "../errors.ts";
import type { PublicRequest } from "./request.ts";

/** Rejects with `too-large` and `invalid-argument`. */
export async function jsonBody<T>(
  request: PublicRequest,
  schema: z.ZodType<T>,
  bytesMax: number,
): Promise<T> {
  const parts: Uint8Array[] = [];
  for await (const part of request.body) {
    parts.push(part);
    if (request.body.bytes > bytesMax) {
      throw new AtollError("too-large", `wanted at most ${bytesMax} bytes, got more than that`);
    }
  }
  const text = new TextDecoder().decode(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  const parsed = schema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new AtollError("invalid-argument", `${path.join(".") || "the body"}: ${message}`);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AtollError("invalid-argument", `wanted JSON, got ${JSON.stringify(text.slice(0, 60))}`);
  }
}
