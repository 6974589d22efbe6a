/** What `/_/ring` says and takes. */
import { z } from "zod";

const count = z.number().int().nonnegative();

const ringNode = z.object({
  id: z.string(),
  region: z.string(),
  zone: z.string(),
  weight: z.number(),
  member: z.boolean(),
  voter: z.boolean(),
  state: z.string(),
  peerUrl: z.string(),
  publicUrl: z.string(),
  /** As the node that answers measures it. */
  rttMs: z.number().nullable(),
  /** How many it is a replica of, in the settled table and in the one that is moved to. */
  partitions: z.object({ before: count, after: count }),
  synced: z.boolean(),
});

export const ringStatus = z.object({
  self: z.string(),
  ringId: z.string().nullable(),
  layout: z.object({
    number: count,
    state: z.enum(["settled", "moving", "none"]),
    replicas: count,
    voters: z.array(z.string()),
  }),
  nodes: z.array(ringNode),
  move: z.object({
    partitionsTotal: count,
    partitionsLeft: count,
    bytesDone: count,
    bytesLeft: count,
    etaSeconds: z.number().nullable(),
    /** Nodes of an earlier build do not say it. */
    objectsLeft: count.optional(),
  }).nullable(),
});

export type RingStatus = z.infer<typeof ringStatus>;
export type Move = NonNullable<RingStatus["move"]>;

export interface RingChange {
  readonly join?: readonly string[];
  readonly drain?: readonly string[];
  readonly remove?: readonly string[];
  readonly replace?: readonly { readonly from: string; readonly to: string }[];
  readonly weight?: Readonly<Record<string, number>>;
  readonly zone?: Readonly<Record<string, string>>;
  readonly replicas?: number;
  readonly confirm?: string;
}

const ringChange = z.object({
  join: z.array(z.string()).optional(),
  drain: z.array(z.string()).optional(),
  remove: z.array(z.string()).optional(),
  replace: z.array(z.object({ from: z.string(), to: z.string() })).optional(),
  weight: z.record(z.string(), z.number()).optional(),
  zone: z.record(z.string(), z.string()).optional(),
  replicas: count.optional(),
});

const beforeAndAfter = z.object({ before: z.number(), after: z.number() });

export const ringPlan = z.object({
  /** The number of the layout it starts from: applied to another it would be another plan. */
  base: count,
  change: ringChange,
  nodes: z.array(z.object({ id: z.string(), zone: z.string(), before: count, after: count })),
  replicasMoved: count,
  partitionsTouched: count,
  /** Which, and who holds them, home first; nodes of an earlier build do not say it. */
  partitions: z.array(z.object({
    partition: count,
    before: z.array(z.string()),
    after: z.array(z.string()),
  })).optional(),
  bytesToMove: z.number().nullable(),
  /** The fullest node's share over the mean, by weight: 1 is perfect. */
  balance: beforeAndAfter,
  /** How many partitions have replicas in as many zones as are wanted. */
  zoneSpread: z.object({ wanted: count, before: count, after: count }),
  warnings: z.array(z.string()),
});

export type RingPlan = z.infer<typeof ringPlan>;

export const ringApplied = z.object({ layout: count });
