/** `BUCKET/KEY` as it stands on a command line, and as it goes into a request's target. */
import { bucketProblem, keyProblem, objectPath as pathOfObject } from "../core/names.ts";
import { Failure, usage } from "./failure.ts";

export interface ObjectAddress {
  readonly bucket: string;
  readonly key: string;
}

export interface PrefixAddress {
  readonly bucket: string;
  /** May be empty. */
  readonly prefix: string;
}

/** The key is all that follows the first slash, taken literally. */
export function parseObjectAddress(text: string): ObjectAddress {
  const { bucket, prefix: key } = parsePrefixAddress(text);
  const problem = keyProblem(key);
  if (problem !== undefined) throw usage(`wanted BUCKET/KEY, got ${quoted(text)}: ${problem}`);
  return { bucket, key };
}

export function parsePrefixAddress(text: string): PrefixAddress {
  if (!text.isWellFormed()) throw usage(`wanted a name in well-formed Unicode, got ${quoted(text)}`);
  const slash = text.indexOf("/");
  const bucket = slash === -1 ? text : text.slice(0, slash);
  const problem = bucketProblem(bucket);
  if (problem !== undefined) throw usage(`wanted BUCKET or BUCKET/…, got ${quoted(text)}: ${problem}`);
  return { bucket, prefix: slash === -1 ? "" : text.slice(slash + 1) };
}

/** The node undoes exactly that, once. */
export function objectPath({ bucket, key }: ObjectAddress): string {
  return pathOfObject(bucket, key);
}

export function addressText({ bucket, key }: ObjectAddress): string {
  return printable(`${bucket}/${key}`);
}

/** A key may hold anything, so also what would steer a terminal or break a line. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}

/** The same failure, with what it was about in front. */
export function named(error: unknown, about: ObjectAddress): unknown {
  if (!(error instanceof Failure) || error.code === "unreachable" || error.code === "local") return error;
  const { exitCode, code, status, members, cause } = error;
  return new Failure(exitCode, `${addressText(about)}: ${error.message}`, {
    code,
    members,
    ...(status !== undefined && { status }),
    ...(cause !== undefined && { cause }),
  });
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}
