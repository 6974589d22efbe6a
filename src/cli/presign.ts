/** `atoll presign`: a URL that lets whoever has it do one thing, made without asking a node. */
import { createHmac } from "node:crypto";
import { keyIdProblem, secretProblem } from "../core/grants.ts";
import { objectPath } from "../core/names.ts";
import {
  PRESIGN_SECONDS_MAX,
  PRESIGNED_METHODS,
  presignedQuery,
  presignedText,
  presignProblem,
  SIGNING_LABEL,
} from "../core/presign.ts";
import { parseObjectAddress } from "./address.ts";
import { usage } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

export interface PresignOptions {
  readonly method?: string;
  readonly expires?: string;
  readonly maxBytes?: string;
  readonly contentType?: string;
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };
const HMAC = (key: string, text: string) => createHmac("sha256", key).update(text).digest("hex");

/** `credentials`: `ID.SECRET`. */
export async function presign(
  deps: { readonly terminal: Terminal; readonly url: string; readonly credentials: string | undefined },
  place: string,
  options: PresignOptions,
): Promise<void> {
  const { id, secret } = parseCredentials(deps.credentials);
  const { bucket, key } = parseObjectAddress(place);
  const name = options.method ?? "GET";
  const method = PRESIGNED_METHODS.find((known) => known === name.toUpperCase());
  if (!method) throw usage(`--method: wanted one of ${PRESIGNED_METHODS.join(", ")}, got ${name}`);
  const presigned = {
    keyId: id,
    expires: Math.floor(Date.now() / 1000) + secondsOf(options.expires ?? "1h"),
    maxBytes: options.maxBytes === undefined ? undefined : bytesOf(options.maxBytes),
    contentType: options.contentType,
  };
  const problem = presignProblem(method, presigned);
  if (problem !== undefined) throw usage(problem);
  const path = objectPath(bucket, key);
  const signature = HMAC(HMAC(secret, SIGNING_LABEL), presignedText(method, path, presigned));
  const url = `${deps.url}${path}?${presignedQuery(presigned, signature)}`;
  await deps.terminal.result(url, { url, method, expires: presigned.expires });
}

/** What is wrong is said without what it is. */
export function parseCredentials(text: string | undefined): { readonly id: string; readonly secret: string } {
  const dot = text?.indexOf(".") ?? -1;
  const [id, secret] = [text?.slice(0, Math.max(0, dot)), text?.slice(dot + 1)];
  const problem = keyIdProblem(id) ?? secretProblem(secret);
  if (problem !== undefined) throw usage(`ATOLL_KEY: wanted ID.SECRET: ${problem}`);
  return { id: id!, secret: secret! };
}

function secondsOf(text: string): number {
  const [, digits, unit] = /^(\d{1,7})([smhd])$/.exec(text) ?? [];
  const seconds = Number(digits) * UNITS[unit ?? ""]!;
  if (!(seconds >= 1 && seconds <= PRESIGN_SECONDS_MAX)) {
    throw usage(`--expires: wanted a time like 10m, 12h or 7d, at most 7d, got ${text}`);
  }
  return seconds;
}

function bytesOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw usage(`--max-bytes: wanted a number of bytes, got ${text}`);
  return Number(text);
}
