/**
 * What nodes may say to each other, as schemas: everything that comes from outside is held to them before anybody acts
 * on it. They are strict (an unknown field is a mistake, not a surprise for later; only of a neighbour that is ahead a
 * message may have more, see peer-protocol.ts) and bounded, generously: a bound is there so that no peer can make this
 * node hold more than a message's worth of memory.
 *
 * Bytes do not travel in JSON: where the ports have `bytes`, the wire has them behind the header (see peer-codec.ts).
 */
import { z } from "zod";
import { type Layout, LAYOUT_FORMAT, type LayoutNode, layoutProblem } from "../core/layout.ts";
import { NODES_MAX } from "../core/layout-node.ts";
import {
  isChunkId,
  type Manifest,
  MANIFEST_FORMAT,
  MANIFEST_FORMAT_INLINE,
  manifestProblem,
  SMALL_CHUNK_BYTES,
} from "../core/manifest.ts";
import { NUMBER_MAX } from "../core/member-list.ts";
import { PARTITIONS, SLOTS, SLOTS_PER_PARTITION } from "../core/partitions.ts";
import { HEADER_CHARS_MAX } from "../core/stored-headers.ts";
import { ANCESTORS_MAX, type RegisterValue } from "../core/register.ts";
import type { NodeCard, PeerReply, PeerRequest } from "../ports.ts";

/** UTF-16 units, of which a name of 1,024 bytes of key has never more. */
const NAME_CHARS_MAX = 2_048;
const TEXT_CHARS_MAX = 1_024;
const MESSAGE_CHARS_MAX = 16_384;
const REPLICAS_MAX = 99;
/** More than are written: a later release may put larger objects into their manifests. */
const CONTENT_CHARS_MAX = 4 * Math.ceil(SMALL_CHUNK_BYTES / 3);
/** Of one scan; what a page of a listing needs, several times over. */
export const SCAN_LIMIT_MAX = 4_096;
/** Of one purge, of each kind. */
const PURGED_MAX = 1_024;
/** Of one notice. */
export const NOTICE_COMMITS_MAX = 1_024;
/** Of one question which of them are held. */
const CHUNKS_ASKED_MAX = 1_024;
/** Of one page of a slot. */
const SLOT_ROWS_MAX = 1_024;
/** Of one message, and of one page of the list of members. */
const NEWS_MAX = 32;
const MEMBERS_MAX = 512;

const text = z.string().max(TEXT_CHARS_MAX);
const name = z.string().max(NAME_CHARS_MAX);
const count = z.int().min(0);
const positive = z.int().min(1);
const chunkId = z.string().refine(isChunkId, "wanted a SHA-256 in lower-case hex");
/** `z.int()` is a safe integer; 0 and "" are those of no ballot at all. */
const ballot = z.strictObject({ counter: count, node: text });

const manifest: z.ZodType<Manifest> = z.strictObject({
  format: z.union([z.literal(MANIFEST_FORMAT), z.literal(MANIFEST_FORMAT_INLINE)]),
  size: count,
  sha256: z.string(),
  layout: z.enum(["list", "index", "inline"]),
  // Up to a few thousand index chunks stand for the largest object there can be; ids are checked below, once.
  chunks: z.array(z.string()).max(16_384),
  content: z.exactOptional(z.string().max(CONTENT_CHARS_MAX)),
  // Bounded by `manifestProblem`. A key `__proto__` would be lost on the way there.
  headers: z.record(z.string().refine((name) => name !== "__proto__"), z.string()),
  expiresMs: z.exactOptional(z.number()),
}).superRefine((value, context) => {
  const problem = manifestProblem(value);
  if (problem !== undefined) context.addIssue(problem);
});

/** Also what the catalog's rows are held to when they are read back: one form, on the wire and on disk. */
export const registerValueSchema: z.ZodType<RegisterValue> = z.strictObject({
  version: positive,
  modifiedMs: z.number(),
  changeId: text,
  ancestors: z.array(text).max(ANCESTORS_MAX),
  content: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("object"), manifest }),
    z.strictObject({ kind: z.literal("tombstone") }),
  ]),
});

const table = z.array(z.array(count).max(REPLICAS_MAX)).max(65_536);
const layoutNode: z.ZodType<LayoutNode> = z.strictObject({
  id: text.min(1),
  region: text,
  zone: text,
  weight: z.number().nonnegative(),
});
/** Also what stands on a board is held to it. */
export const layoutSchema: z.ZodType<Layout> = z.strictObject(
  {
    format: z.union([z.literal(1), z.literal(LAYOUT_FORMAT)]),
    ringId: text.min(1),
    number: positive,
    replicas: positive.max(REPLICAS_MAX),
    nodes: z.array(layoutNode).max(NODES_MAX),
    voters: z.array(text).max(NODES_MAX),
    table,
    from: table.optional(),
    since: table.optional(),
    fromSince: table.optional(),
    leaving: z.array(text).max(NODES_MAX).optional(),
    // A field that the document has and this forgets would keep every ring from changing.
  } satisfies Record<keyof Required<Layout>, z.ZodType>,
).superRefine((document, context) => {
  const problem = layoutProblem(document);
  if (problem !== undefined) context.addIssue(problem);
});

const card: z.ZodType<NodeCard> = z.strictObject({
  id: text.min(1),
  region: text,
  zone: text,
  peerUrl: text,
  publicUrl: text,
  incarnation: text,
  ringId: text.min(1).optional(),
  layoutNumber: count,
  bootstrapExpect: count,
});
const cards = z.array(card).max(NODES_MAX);
const rumour = z.strictObject({
  id: text.min(1),
  number: positive.max(NUMBER_MAX),
  state: z.enum(["joining", "alive", "suspect", "leaving", "dead"]),
  card: card.optional(),
});
const news = z.array(rumour).max(NEWS_MAX);
const pinged = { card, known: cards.optional(), news: news.optional() };

const range = z.strictObject({
  prefix: name,
  after: name,
  afterPrefix: z.exactOptional(name),
  limit: positive.max(SCAN_LIMIT_MAX),
});

const digest = z.string().regex(/^([0-9a-f]{64})?$/);
const digests = (max: number) => z.array(digest).max(max);
const partition = z.int().min(0).max(PARTITIONS - 1);
const slot = z.int().min(0).max(SLOTS - 1);
/** Where a page of states begins: in that slot, with names greater than `after`. */
export const slotPlace = z.strictObject({ slot, after: name });
const floor = z.strictObject({ version: count, promised: ballot });
const acceptorState = z.strictObject({
  promised: ballot,
  accepted: ballot,
  value: registerValueSchema.nullable(),
});
const testimony = z.strictObject({
  memory: ballot,
  witnessed: z.array(z.strictObject({ node: text, memory: ballot })).max(NODES_MAX),
});

/** As on the wire: without the bytes. Chunks themselves have routes of their own. */
export const requestSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("ping"), ...pinged }),
  z.strictObject({ type: z.literal("probe"), target: text.min(1), news }),
  z.strictObject({ type: z.literal("members"), after: text }),
  z.strictObject({ type: z.literal("layout") }),
  z.strictObject({ type: z.literal("decree-prepare"), number: positive, ballot }),
  z.strictObject({ type: z.literal("decree-accept"), ballot, layout: layoutSchema }),
  z.strictObject({ type: z.literal("decree-state") }),
  z.strictObject({ type: z.literal("moved"), number: positive }),
  z.strictObject({
    type: z.literal("prepare"),
    name,
    ballot,
    chunk: z.strictObject({ id: chunkId }).optional(),
  }),
  z.strictObject({
    type: z.literal("accept"),
    name,
    ballot,
    value: registerValueSchema,
    chunk: z.strictObject({ id: chunkId }).optional(),
  }),
  z.strictObject({ type: z.literal("read"), name, known: ballot.optional() }),
  z.strictObject({ type: z.literal("scan"), range }),
  z.strictObject({
    type: z.literal("notice"),
    commits: z.array(z.strictObject({ name, version: positive })).max(NOTICE_COMMITS_MAX),
  }),
  z.strictObject({
    type: z.literal("purge"),
    what: z.strictObject({
      names: z.array(name).max(PURGED_MAX),
      prefixes: z.array(name).max(PURGED_MAX),
      tagged: z.array(z.strictObject({ bucket: text, tag: text })).max(PURGED_MAX),
      soft: z.boolean(),
    }),
  }),
  z.strictObject({ type: z.literal("chunks-held"), ids: z.array(chunkId).max(CHUNKS_ASKED_MAX) }),
  z.strictObject({ type: z.literal("chunks-wanted"), ids: z.array(chunkId).max(CHUNKS_ASKED_MAX) }),
  z.strictObject({ type: z.literal("digests"), partitions: z.array(partition).max(PARTITIONS) }),
  z.strictObject({ type: z.literal("slot-digests"), partition }),
  z.strictObject({ type: z.literal("slot-entries"), slot, after: name }),
  z.strictObject({
    type: z.literal("slot-states"),
    partitions: z.array(partition).min(1).max(PARTITIONS),
    from: slotPlace.optional(),
  }),
  z.strictObject({ type: z.literal("state"), name }),
  z.strictObject({ type: z.literal("remember"), memory: ballot }),
  z.strictObject({ type: z.literal("forget"), name, ballot }),
]);

const refused = z.strictObject({ kind: z.literal("refused"), promised: ballot });
const acceptReply = z.discriminatedUnion("kind", [z.strictObject({ kind: z.literal("accepted") }), refused]);

const scanEntry = z.strictObject({
  name,
  accepted: ballot,
  version: positive,
  object: z.strictObject({
    size: count,
    sha256: chunkId,
    modifiedMs: z.number(),
    contentType: z.string().max(HEADER_CHARS_MAX),
    expiresMs: z.number().optional(),
  }).optional(),
});

export const replySchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("pong"), ...pinged }),
  z.strictObject({ type: z.literal("probe"), reached: z.boolean(), news }),
  z.strictObject({
    type: z.literal("members"),
    entries: z.array(rumour).max(MEMBERS_MAX),
    next: text.optional(),
  }),
  z.strictObject({ type: z.literal("layout"), layout: layoutSchema.optional() }),
  z.strictObject({
    type: z.literal("decree-prepare"),
    reply: z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("promised"), accepted: ballot, layout: layoutSchema.nullable() }),
      refused,
    ]),
    testimony: testimony.optional(),
  }),
  z.strictObject({ type: z.literal("decree-accept"), reply: acceptReply, testimony: testimony.optional() }),
  z.strictObject({
    type: z.literal("decree-state"),
    state: z.strictObject({
      number: count,
      promised: ballot,
      accepted: ballot,
      layout: layoutSchema.nullable(),
    }),
  }),
  z.strictObject({
    type: z.literal("moved"),
    progress: z.strictObject({
      done: z.boolean(),
      partitions: count,
      partitionsLeft: count,
      bytes: count,
      bytesLeft: count.optional(),
      objectsLeft: count,
    }),
  }),
  z.strictObject({
    type: z.literal("prepare"),
    reply: z.discriminatedUnion("kind", [
      z.strictObject({
        kind: z.literal("promised"),
        accepted: ballot,
        value: registerValueSchema.nullable(),
        floor: count.optional(),
      }),
      refused,
    ]),
    stored: chunkId.optional(),
    testimony: testimony.optional(),
  }),
  z.strictObject({ type: z.literal("accept"), reply: acceptReply, testimony: testimony.optional() }),
  z.strictObject({
    type: z.literal("read"),
    accepted: ballot,
    value: registerValueSchema.nullable().optional(),
    testimony: testimony.optional(),
  }),
  z.strictObject({
    type: z.literal("scan"),
    entries: z.array(scanEntry).max(SCAN_LIMIT_MAX),
    done: z.boolean(),
  }),
  z.strictObject({ type: z.literal("notice") }),
  z.strictObject({ type: z.literal("purge"), purged: count }),
  z.strictObject({ type: z.literal("chunks-held"), held: z.array(z.boolean()).max(CHUNKS_ASKED_MAX) }),
  z.strictObject({ type: z.literal("chunks-wanted"), wanted: z.array(z.boolean()).max(CHUNKS_ASKED_MAX) }),
  z.strictObject({ type: z.literal("digests"), digests: digests(PARTITIONS) }),
  z.strictObject({ type: z.literal("slot-digests"), digests: digests(SLOTS_PER_PARTITION) }),
  z.strictObject({
    type: z.literal("slot-entries"),
    entries: z.array(z.strictObject({ name, accepted: ballot })).max(SLOT_ROWS_MAX),
    next: name.optional(),
  }),
  z.strictObject({
    type: z.literal("slot-states"),
    rows: z.array(z.strictObject({ name, state: acceptorState })).max(SLOT_ROWS_MAX),
    floors: z.array(z.strictObject({ slot, floor })).max(SLOT_ROWS_MAX),
    next: slotPlace.optional(),
  }),
  z.strictObject({ type: z.literal("state"), state: acceptorState }),
  z.strictObject({ type: z.literal("remember"), known: ballot }),
  z.strictObject({ type: z.literal("forget"), forgotten: z.boolean() }),
  z.strictObject({
    type: z.literal("error"),
    code: text,
    message: z.string().max(MESSAGE_CHARS_MAX),
  }),
]);

/** Of a neighbour that is ahead: the same, and what a message says besides is passed over; within it nothing is. */
export const requestSchemaAhead = ahead(requestSchema);
export const replySchemaAhead = ahead(replySchema);

function ahead<M extends z.ZodDiscriminatedUnion<readonly z.ZodObject[], "type">>(messages: M): M {
  const options = messages.options.map((message) => message.strip());
  return z.discriminatedUnion("type", options as [z.ZodObject, ...z.ZodObject[]]) as unknown as M;
}

/** What answers the PUT of a chunk. */
export const storedSchema = z.strictObject({ type: z.literal("chunk-put"), stored: chunkId });
export const storedSchemaAhead = storedSchema.strip();
/** What says why a request as a whole was not carried out. */
export const faultSchema = z.object({ code: text, message: z.string().max(MESSAGE_CHARS_MAX) });

/** A `prepare` or `accept` with a small object's chunk carries the chunk's id; its bytes follow. */
export type RequestHeader = z.infer<typeof requestSchema>;
export type ReplyHeader = z.infer<typeof replySchema>;

/**
 * The compiler holds the schemas against the ports: a field that is added there and not here does not build. What has
 * bytes is left out of the comparison, and what the comparison cannot see is a bound.
 */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
type Plain<M> = Exclude<M, { type: "chunk-put" | "chunk-get" | "prepare" | "accept" }>;
type Mutable<T> = T extends object ? { -readonly [K in keyof T]: Mutable<T[K]> } : T;
type Votes<M> = Extract<M, { type: "prepare" | "accept" }>;
const _requests: Same<Mutable<Plain<RequestHeader>>, Mutable<Plain<PeerRequest>>> = true;
const _replies: Same<Mutable<Plain<ReplyHeader>>, Mutable<Plain<PeerReply>>> = true;
const _votes: Same<Mutable<Votes<ReplyHeader>>, Mutable<Votes<PeerReply>>> = true;
void [_requests, _replies, _votes];
