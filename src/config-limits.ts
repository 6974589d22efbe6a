/** What a client may take of a node, and for how long it may keep it waiting. */
import { z } from "zod";
import { bytes, duration, wholeNumber } from "./config-values.ts";
import type { TrustedProxy } from "./core/client-address.ts";
import type { Rate } from "./core/token-bucket.ts";

export interface LimitSettings {
  readonly trustedProxy: TrustedProxy;
  readonly maxConcurrentRequests: number;
  /** Infinity: no limit, here and below. */
  readonly maxConcurrentPerClient: number;
  readonly maxConcurrentPerKey: number;
  readonly ratePerClient: Rate | undefined;
  readonly ratePerKey: Rate | undefined;
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
  readonly maxHeaderBytes: number;
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** Without a byte in either direction, in the midst of a request. */
  readonly idleTimeoutMs: number;
  /** Of bodies, in both directions; 0: however slow. */
  readonly minBytesPerSecond: number;
  readonly minRateGraceMs: number;
  /** Ms that the event loop may be late before requests are turned away; 0: never. */
  readonly maxLatenessMs: number;
}

const RATE = /^(\d{1,9})\/(\d{1,9})(ms|s|m|h|d)$/;
const UNIT_MS: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };
const RATE_WANTED = "wanted requests per time like 100/1s or 6000/1m, or off";

const rate = z.string().transform((text, context): Rate | undefined => {
  if (text === "off") return undefined;
  const [, quota, count, unit] = RATE.exec(text) ?? [];
  const windowMs = Number(count) * UNIT_MS[unit!]!;
  if (Number(quota) >= 1 && windowMs >= 1_000) return { quota: Number(quota), windowMs };
  context.addIssue({ code: "custom", message: RATE_WANTED });
  return z.NEVER;
});
const proxy = z.string().transform((text, context): TrustedProxy => {
  if (text === "none" || text === "fly") return { kind: text };
  const [, proxies] = /^x-forwarded-for(?::([1-9]))?$/.exec(text) ?? [];
  if (text.startsWith("x-forwarded-for") && (proxies !== undefined || text === "x-forwarded-for")) {
    return { kind: "x-forwarded-for", proxies: Number(proxies ?? 1) };
  }
  context.addIssue({ code: "custom", message: "wanted none, fly, x-forwarded-for or x-forwarded-for:N" });
  return z.NEVER;
});
/** 0: no limit. */
const some = wholeNumber(0, 1_000_000).transform((n) => (n === 0 ? Infinity : n));

export const LIMIT_VARIABLES = {
  ATOLL_TRUSTED_PROXY: {
    schema: proxy,
    default: "none",
    meaning:
      "whose word on clients' addresses counts: none, fly (Fly-Client-IP), x-forwarded-for[:N], N proxies in a row",
  },
  ATOLL_MAX_CONCURRENT_REQUESTS: {
    schema: wholeNumber(1, 1_000_000),
    default: "1024",
    meaning: "further ones get 503",
  },
  ATOLL_MAX_CONCURRENT_PER_CLIENT: {
    schema: some,
    default: "0",
    meaning: "of one address; further ones get 429; 0: no limit",
  },
  ATOLL_MAX_CONCURRENT_PER_KEY: {
    schema: some,
    default: "0",
    meaning: "with one access key; further ones get 429; 0: no limit",
  },
  ATOLL_RATE_PER_CLIENT: {
    schema: rate,
    default: "off",
    meaning: "requests per time of one address, like 6000/1m; further ones get 429",
  },
  ATOLL_RATE_PER_KEY: {
    schema: rate,
    default: "off",
    meaning: "requests per time with one access key; further ones get 429",
  },
  ATOLL_MAX_LATENESS: {
    schema: duration(0),
    default: "100ms",
    meaning:
      "how late the node may be at its work before it works at fewer requests at a time; 0s: never fewer",
  },
  ATOLL_MAX_CONNECTIONS: {
    schema: some,
    default: "16384",
    meaning: "of the public listener; further ones get 503 and are closed; 0: no limit",
  },
  ATOLL_MAX_CONNECTIONS_PER_CLIENT: {
    schema: some,
    default: "0",
    meaning: "of one address that connects, be it a proxy; further ones get 429 and are closed; 0: no limit",
  },
  ATOLL_MAX_HEADER_BYTES: {
    schema: bytes(1_024),
    default: "32KiB",
    meaning: "of request line and headers; more gets 431",
  },
  ATOLL_HEADER_TIMEOUT: {
    schema: duration(100),
    default: "60s",
    meaning: "in which request line and headers must have come; else 408",
  },
  ATOLL_KEEP_ALIVE: {
    schema: duration(0),
    default: "75s",
    meaning: "how long a connection may be idle between two requests before it is closed",
  },
  ATOLL_IDLE_TIMEOUT: {
    schema: duration(100),
    default: "120s",
    meaning: "how long a request or an answer may stand still before its connection is cut",
  },
  ATOLL_MIN_BODY_RATE: {
    schema: bytes(0),
    default: "4KiB",
    meaning: "bytes a second of a body that a client sends or takes at least, or it is cut; 0: however slow",
  },
  ATOLL_MIN_BODY_GRACE: {
    schema: duration(100),
    default: "30s",
    meaning: "for how long it may be slower",
  },
} as const;

type Values = {
  [K in keyof typeof LIMIT_VARIABLES]: z.infer<(typeof LIMIT_VARIABLES)[K]["schema"]> | undefined;
};

export function limitSettings(v: Values): LimitSettings {
  return {
    trustedProxy: v.ATOLL_TRUSTED_PROXY!,
    maxConcurrentRequests: v.ATOLL_MAX_CONCURRENT_REQUESTS!,
    maxConcurrentPerClient: v.ATOLL_MAX_CONCURRENT_PER_CLIENT!,
    maxConcurrentPerKey: v.ATOLL_MAX_CONCURRENT_PER_KEY!,
    ratePerClient: v.ATOLL_RATE_PER_CLIENT,
    ratePerKey: v.ATOLL_RATE_PER_KEY,
    maxLatenessMs: v.ATOLL_MAX_LATENESS!,
    maxConnections: v.ATOLL_MAX_CONNECTIONS!,
    maxConnectionsPerClient: v.ATOLL_MAX_CONNECTIONS_PER_CLIENT!,
    maxHeaderBytes: v.ATOLL_MAX_HEADER_BYTES!,
    headersTimeoutMs: v.ATOLL_HEADER_TIMEOUT!,
    keepAliveTimeoutMs: v.ATOLL_KEEP_ALIVE!,
    idleTimeoutMs: v.ATOLL_IDLE_TIMEOUT!,
    minBytesPerSecond: v.ATOLL_MIN_BODY_RATE!,
    minRateGraceMs: v.ATOLL_MIN_BODY_GRACE!,
  };
}
