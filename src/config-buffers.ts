/** How much memory what is on its way may take. */
import type { z } from "zod";
import { bytes } from "./config-values.ts";

export interface BufferSettings {
  /** Of uploads and downloads at the public listener. */
  readonly bufferBytes: number;
  /** Of chunks that other nodes send. */
  readonly peerBufferBytes: number;
}

const MIB = 1 << 20;
const DEFAULT_MIN = 64 * MIB;
const DEFAULT_MAX = 1_024 * MIB;

export const BUFFER_VARIABLES = {
  ATOLL_BUFFER_BYTES: {
    schema: bytes(8 * MIB),
    default: undefined,
    meaning: "memory for bodies on their way, of all clients (default: a quarter of memory, 64 MiB to 1 GiB)",
  },
  ATOLL_PEER_BUFFER_BYTES: {
    schema: bytes(8 * MIB),
    default: undefined,
    meaning: "memory for chunks that other nodes send (default: as much)",
  },
} as const;

type Values = {
  [K in keyof typeof BUFFER_VARIABLES]: z.infer<(typeof BUFFER_VARIABLES)[K]["schema"]> | undefined;
};

/** `memoryBytes`: of the machine. */
export function bufferSettings(v: Values, memoryBytes: number): BufferSettings {
  const standard = Math.min(DEFAULT_MAX, Math.max(DEFAULT_MIN, Math.floor(memoryBytes / 4)));
  return {
    bufferBytes: v.ATOLL_BUFFER_BYTES ?? standard,
    peerBufferBytes: v.ATOLL_PEER_BUFFER_BYTES ?? standard,
  };
}
