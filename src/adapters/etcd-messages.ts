/** What etcd's gateway says, and how keys and values travel. Fields that are zero or empty are left out by the gateway. */
import { Buffer } from "node:buffer";
import { z } from "zod";

/** 64-bit numbers travel as strings; revisions stay far below 2^53. */
const int64 = z.union([z.string().regex(/^-?\d{1,16}$/).transform(Number), z.int()]);
const base64 = z.string().transform((text) => Buffer.from(text, "base64").toString("utf8"));
const header = z.object({ revision: int64.default(0) });
const keyValue = z.object({
  key: base64,
  value: base64.default(""),
  mod_revision: int64.default(0),
});

export type KeyValue = z.infer<typeof keyValue>;

export const rangeAnswer = z.object({ header, kvs: z.array(keyValue).default([]) });
export const putAnswer = z.object({ header });
export const leaseAnswer = z.object({ ID: z.string().regex(/^-?\d{1,20}$/), TTL: int64.default(0) });
/** One message of a stream; without a TTL the lease is no more. */
export const keepAliveAnswer = z.object({ result: z.object({ TTL: int64.default(0) }) });
export const anyAnswer = z.object({});

export const transactionAnswer = z.object({
  header,
  succeeded: z.boolean().default(false),
  responses: z.array(
    z.object({ response_range: z.object({ kvs: z.array(keyValue).default([]) }).optional() }),
  )
    .default([]),
});

export const watchMessage = z.object({
  result: z.object({
    header,
    created: z.boolean().default(false),
    canceled: z.boolean().default(false),
    compact_revision: int64.default(0),
    events: z.array(z.object({ type: z.string().default("PUT"), kv: keyValue })).default([]),
  }),
});

export function encoded(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

/** Which keys a question is about. */
export interface KeyRange {
  readonly key: string;
  readonly range_end?: string;
}

export function oneKey(key: string): KeyRange {
  return { key: encoded(key) };
}

/** All that begin with `prefix`, which ends with a slash. */
export function keysBelow(prefix: string): KeyRange {
  return { key: encoded(prefix), range_end: encoded(`${prefix.slice(0, -1)}0`) };
}
