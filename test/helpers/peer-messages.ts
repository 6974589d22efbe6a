/** Every message between nodes, made up: for property tests of whatever carries them. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { type Ballot, NO_BALLOT } from "../../src/core/ballot.ts";
import { PARTITIONS, SLOTS } from "../../src/core/partitions.ts";
import { foundingLayout, type Layout } from "../../src/core/layout.ts";
import { CHUNK_BYTES, type Manifest } from "../../src/core/manifest.ts";
import { NUMBER_MAX } from "../../src/core/member-list.ts";
import type { Testimony } from "../../src/core/quorum.ts";
import type { AcceptorState, AcceptReply, Floor, RegisterValue } from "../../src/core/register.ts";
import type { NodeCard, PeerReply, PeerRequest, Rumour, ScanEntry, ScanRange } from "../../src/ports.ts";

type Fields = Readonly<Record<string, fc.Arbitrary<unknown>>>;

/** An object of `fields`, of which those in `optional` may be missing: missing, not undefined. */
function object<T extends object>(fields: Fields, optional: Fields = {}): fc.Arbitrary<T> {
  const requiredKeys = Object.keys(fields);
  return fc.record({ ...fields, ...optional }, { requiredKeys, noNullPrototype: true }) as fc.Arbitrary<
    unknown
  > as fc.Arbitrary<T>;
}

const is = <T>(value: T) => fc.constant(value);
const digest = fc.array(fc.constantFrom(..."0123456789abcdef".split("")), { minLength: 64, maxLength: 64 })
  .map((digits) => digits.join(""));
const text = fc.string({ maxLength: 40, unit: "binary" });
const id = fc.string({ minLength: 1, maxLength: 20 });
const count = fc.maxSafeNat();
const positive = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const name = fc.tuple(id, text).map(([bucket, key]) => `${bucket}\0${key}`);
const ballot = fc.oneof(object<Ballot>({ counter: count, node: text }), is(NO_BALLOT));
const bytes = fc.uint8Array({ maxLength: 300 });

const headers = fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/), text, {
  maxKeys: 5,
  noNullPrototype: true,
});
const inline = bytes.filter(({ length }) => length > 0).chain((content) =>
  object<Manifest>({
    format: is(2),
    size: is(content.length),
    sha256: is(createHash("sha256").update(content).digest("hex")),
    layout: is("inline"),
    chunks: is([]),
    content: is(Buffer.from(content).toString("base64")),
    headers,
  }, { expiresMs: count })
);
const listing = fc.array(digest, { maxLength: 5 }).chain((chunks) =>
  object<Manifest>({
    format: is(1),
    size: is(chunks.length * CHUNK_BYTES),
    sha256: digest,
    layout: is("list"),
    chunks: is(chunks),
    headers,
  }, { expiresMs: count })
);
const manifest = fc.oneof(listing, inline);
const value = object<RegisterValue>({
  version: positive,
  modifiedMs: count,
  changeId: text,
  ancestors: fc.array(text, { maxLength: 16 }),
  content: fc.oneof(object({ kind: is("object"), manifest }), object({ kind: is("tombstone") })),
});
/** With everything that a layout can hold: what a schema forgets would stop a ring from changing. */
const layout: fc.Arbitrary<Layout> = fc.tuple(
  fc.uniqueArray(id, { minLength: 1, maxLength: 5 }),
  fc.boolean(),
).map(([ids, isMoving]) => {
  const founded = foundingLayout(
    "ring",
    3,
    ids.map((one) => ({ id: one, region: "r", zone: `zone ${one}`, weight: 1.5 })),
  );
  if (!isMoving) return founded;
  const from = founded.table.toReversed();
  const [since, fromSince] = [
    founded.table.map((row) => row.map(() => 7)),
    from.map((row) => row.map(() => 0)),
  ];
  return { ...founded, number: 8, from, leaving: [ids[0]!], since, fromSince };
});
const card = object<NodeCard>({
  id,
  region: text,
  zone: text,
  peerUrl: text,
  publicUrl: text,
  incarnation: text,
  layoutNumber: count,
  bootstrapExpect: count,
}, { ringId: id });
const cards = fc.array(card, { maxLength: 3 });
const rumour = object<Rumour>({
  id,
  number: fc.integer({ min: 1, max: NUMBER_MAX }),
  state: fc.constantFrom("joining", "alive", "suspect", "leaving", "dead"),
}, { card });
const news = fc.array(rumour, { maxLength: 3 });
const range = object<ScanRange>({ prefix: text, after: name, limit: fc.integer({ min: 1, max: 4_096 }) }, {
  afterPrefix: text,
});
const listed = object({ size: count, sha256: digest, modifiedMs: count, contentType: text }, {
  expiresMs: count,
});
const scanEntry = object<ScanEntry>({ name, accepted: ballot, version: positive }, { object: listed });
const commit = object({ name, version: positive });

const refused = object<Extract<AcceptReply, { kind: "refused" }>>({ kind: is("refused"), promised: ballot });
const acceptReply = fc.oneof(is<AcceptReply>({ kind: "accepted" }), refused);
const promised = (what: "layout" | "value", held: fc.Arbitrary<unknown>) =>
  object(
    { kind: is("promised"), accepted: ballot, [what]: fc.option(held) },
    what === "value" ? { floor: count } : {},
  );
const chunk = object({ id: digest, bytes });
const testimony = object<Testimony>({
  memory: ballot,
  witnessed: fc.array(object<Testimony["witnessed"][number]>({ node: text, memory: ballot }), {
    maxLength: 3,
  }),
});
const state = object<AcceptorState>({ promised: ballot, accepted: ballot, value: fc.option(value) });
const floor = object<Floor>({ version: count, promised: ballot });
const slot = fc.integer({ min: 0, max: SLOTS - 1 });
const partition = fc.integer({ min: 0, max: PARTITIONS - 1 });
const digests = fc.array(fc.oneof(digest, is("")), { maxLength: 5 });
const word = fc.stringMatching(/^[!-~]{1,20}$/);
const ids = fc.array(digest, { maxLength: 5 });

export interface MadeUpExchange {
  readonly request: PeerRequest;
  readonly reply: PeerReply;
}

function exchange(
  type: PeerRequest["type"],
  request: readonly [Fields, Fields?],
  reply: readonly [Fields, Fields?],
): fc.Arbitrary<MadeUpExchange> {
  return fc.tuple(
    object<PeerRequest>({ type: is(type), ...request[0] }, request[1]),
    object<PeerReply>({ type: is(type === "ping" ? "pong" : type), ...reply[0] }, reply[1]),
  ).map(([asked, answered]) => ({ request: asked, reply: answered }));
}

/** Of each type, a request and a reply to it. */
export const exchanges: Readonly<Record<PeerRequest["type"], fc.Arbitrary<MadeUpExchange>>> = {
  ping: exchange("ping", [{ card }, { known: cards, news }], [{ card }, { known: cards, news }]),
  probe: exchange("probe", [{ target: id, news }], [{ reached: fc.boolean(), news }]),
  members: exchange("members", [{ after: text }], [{ entries: news }, { next: text }]),
  layout: exchange("layout", [{}], [{}, { layout }]),
  "decree-prepare": exchange("decree-prepare", [{ number: positive, ballot }], [
    { reply: fc.oneof(promised("layout", layout), refused) },
    { testimony },
  ]),
  "decree-accept": exchange("decree-accept", [{ ballot, layout }], [{ reply: acceptReply }, { testimony }]),
  "decree-state": exchange("decree-state", [{}], [{
    state: object({ number: count, promised: ballot, accepted: ballot, layout: fc.option(layout) }),
  }]),
  moved: exchange("moved", [{ number: positive }], [{
    progress: object({
      done: fc.boolean(),
      partitions: count,
      partitionsLeft: count,
      bytes: count,
      objectsLeft: count,
    }, { bytesLeft: count }),
  }]),
  prepare: exchange("prepare", [{ name, ballot }, { chunk }], [
    { reply: fc.oneof(promised("value", value), refused) },
    { stored: digest, testimony },
  ]),
  accept: exchange("accept", [{ name, ballot, value }, { chunk }], [
    { reply: acceptReply },
    { testimony },
  ]),
  read: exchange("read", [{ name }, { known: ballot }], [
    { accepted: ballot },
    { value: fc.option(value), testimony },
  ]),
  "chunk-put": exchange("chunk-put", [{ id: digest, bytes }, { owed: object({ node: word, name }) }], [
    { stored: digest },
  ]),
  "chunk-get": exchange("chunk-get", [{ id: digest }, {
    forRegion: object({ name, sizeBytes: fc.integer({ min: 1, max: CHUNK_BYTES }), keep: fc.boolean() }, {
      warm: is(true),
    }),
  }], [{}, { bytes }]),
  scan: exchange("scan", [{ range }], [{
    entries: fc.array(scanEntry, { maxLength: 5 }),
    done: fc.boolean(),
  }]),
  notice: exchange("notice", [{ commits: fc.array(commit, { maxLength: 5 }) }], [{}]),
  purge: exchange("purge", [{
    what: object({
      names: fc.array(name, { maxLength: 5 }),
      prefixes: fc.array(name, { maxLength: 2 }),
      tagged: fc.array(object({ bucket: word, tag: word }), { maxLength: 2 }),
      soft: fc.boolean(),
    }),
  }], [{ purged: count }]),
  "chunks-held": exchange("chunks-held", [{ ids }], [{ held: fc.array(fc.boolean(), { maxLength: 5 }) }]),
  "chunks-wanted": exchange("chunks-wanted", [{ ids }], [{
    wanted: fc.array(fc.boolean(), { maxLength: 5 }),
  }]),
  digests: exchange("digests", [{ partitions: fc.array(partition, { maxLength: 5 }) }], [{ digests }]),
  "slot-digests": exchange("slot-digests", [{ partition }], [{ digests }]),
  "slot-entries": exchange("slot-entries", [{ slot, after: name }], [
    { entries: fc.array(object({ name, accepted: ballot }), { maxLength: 5 }) },
    { next: name },
  ]),
  "slot-states": exchange("slot-states", [
    { partitions: fc.array(partition, { minLength: 1, maxLength: 5 }) },
    { from: object({ slot, after: name }) },
  ], [
    {
      rows: fc.array(object({ name, state }), { maxLength: 5 }),
      floors: fc.array(object({ slot, floor }), { maxLength: 5 }),
    },
    { next: object({ slot, after: name }) },
  ]),
  state: exchange("state", [{ name }], [{ state }]),
  remember: exchange("remember", [{ memory: ballot }], [{ known: ballot }]),
  forget: exchange("forget", [{ name, ballot }], [{ forgotten: fc.boolean() }]),
};

/** Without the fields that are there but undefined: the wire knows no difference. */
export function withoutUndefined<T>(whole: T): T {
  if (typeof whole !== "object" || whole === null || whole instanceof Uint8Array) return whole;
  if (Array.isArray(whole)) return whole.map(withoutUndefined) as T;
  const kept = Object.entries(whole).filter(([, field]) => field !== undefined);
  return Object.fromEntries(kept.map(([key, field]) => [key, withoutUndefined(field as unknown)])) as T;
}
