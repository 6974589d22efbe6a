/** What may be asked of a node by others at a time, and how long their connections are kept. */
import type { z } from "zod";
import { bytes, duration, wholeNumber } from "./config-values.ts";

export interface PeerLimitSettings {
  readonly maxConnections: number;
  /** Of all connections together. */
  readonly maxConcurrentRequests: number;
  readonly maxHeaderBytes: number;
  /** From a connection to its first request. */
  readonly firstRequestMs: number;
  /** Between requests; longer than other nodes keep idle connections. */
  readonly idleTimeoutMs: number;
  /** From a request's headers until its answer is taken. */
  readonly requestTimeoutMs: number;
}

export const PEER_LIMIT_VARIABLES = {
  ATOLL_PEER_MAX_CONNECTIONS: {
    schema: wholeNumber(1, 1_000_000),
    default: "1024",
    meaning: "of the peer listener; further ones are closed",
  },
  ATOLL_PEER_MAX_REQUESTS: {
    schema: wholeNumber(1, 1_000_000),
    default: "4096",
    meaning: "of other nodes at a time; further ones are refused as overloaded",
  },
  ATOLL_PEER_MAX_HEADER_BYTES: {
    schema: bytes(4_096),
    default: "32KiB",
    meaning: "of a request between nodes; one with more is reset",
  },
  ATOLL_PEER_FIRST_REQUEST: {
    schema: duration(100),
    default: "30s",
    meaning: "in which a new connection of a peer must have asked something, or it is closed",
  },
  ATOLL_PEER_IDLE_TIMEOUT: {
    schema: duration(100),
    default: "15m",
    meaning: "how long a peer's connection may be idle; nodes close their own after 10m",
  },
  ATOLL_PEER_REQUEST_TIMEOUT: {
    schema: duration(100),
    default: "60s",
    meaning: "for a request between nodes, from its headers until its answer is taken; then it is reset",
  },
} as const;

type Values = {
  [K in keyof typeof PEER_LIMIT_VARIABLES]: z.infer<(typeof PEER_LIMIT_VARIABLES)[K]["schema"]> | undefined;
};

export function peerLimitSettings(v: Values): PeerLimitSettings {
  return {
    maxConnections: v.ATOLL_PEER_MAX_CONNECTIONS!,
    maxConcurrentRequests: v.ATOLL_PEER_MAX_REQUESTS!,
    maxHeaderBytes: v.ATOLL_PEER_MAX_HEADER_BYTES!,
    firstRequestMs: v.ATOLL_PEER_FIRST_REQUEST!,
    idleTimeoutMs: v.ATOLL_PEER_IDLE_TIMEOUT!,
    requestTimeoutMs: v.ATOLL_PEER_REQUEST_TIMEOUT!,
  };
}
