/**
 * The doors through which `node/` reaches the world. Production adapters and simulated ones obey the same contracts,
 * which the suites in test/conformance hold both to.
 */
import type { Layout } from "./core/layout.ts";
import type { ChunkId } from "./core/manifest.ts";
import type { Name, ScanRange } from "./core/names.ts";
import type { PeerReply, PeerRequest } from "./core/peer-messages.ts";
import type { AcceptorState, Floor, RegisterRow } from "./core/register.ts";

export type { ScanRange } from "./core/names.ts";
export type * from "./core/peer-messages.ts";
export type { RegisterRow } from "./core/register.ts";

export interface Clock {
  /** Ms since the epoch, for headers, TTLs and logs; may jump. Nothing's order depends on it. */
  wallMs(): number;
  /** Ms that never go back; only differences mean anything. */
  monotonicMs(): number;
  /** Calls once after `delayMs`, unless the returned function was called before. Does not keep a process alive. */
  after(delayMs: number, run: () => void): () => void;
}

export interface Random {
  /** Lower-case hex of so many unpredictable bytes. */
  hex(bytes: number): string;
  /** Uniform in [0, 1). */
  fraction(): number;
}

export type DigestAlgorithm = "sha256" | "sha512" | "md5";

export interface RunningDigest {
  update(bytes: Uint8Array): void;
  /** Once; lower-case hex. */
  digestHex(): string;
}

/** Digests, in lower-case hex, of content that comes in pieces. */
export interface PieceDigests {
  /** The SHA-256 of this piece, which also goes into the digests of the whole, in the order of the calls. It stays as it is meanwhile. */
  add(piece: Uint8Array): Promise<string>;
  /** Of all pieces, once: SHA-256, and what else was asked for. */
  whole(): Promise<ReadonlyMap<DigestAlgorithm, string>>;
  /** Nothing more is asked. To be called in any case. */
  close(): void;
}

export interface Hashing {
  /** SHA-256 in lower-case hex, on the caller's thread: 0.7 ms for a whole chunk. */
  sha256(bytes: Uint8Array): string;
  running(algorithm: DigestAlgorithm): RunningDigest;
  /** Beside the caller's thread, if it can be; without a copy of pieces that lie in a SharedArrayBuffer. */
  pieces(algorithms: readonly DigestAlgorithm[]): PieceDigests;
}

/** What is computed of secrets, none of which is kept. */
export interface Secrets {
  /** SHA-256 in lower-case hex. */
  digest(secret: string): string;
  /** HMAC-SHA-256 in lower-case hex, of texts as UTF-8. */
  mac(key: string, text: string): string;
  /** Of digests, in time that does not tell how much of them is alike. */
  isSame(a: string, b: string): boolean;
}

// --- What is durable -------------------------------------------------------------------------------------------------

export interface CatalogChange {
  /** Each marks its slot as changed, in the same transaction. */
  readonly registers?: readonly RegisterRow[];
  /** Registers that are no more: their tombstones were collected. Their slots are marked too. */
  readonly forgotten?: readonly Name[];
  /** What registers of a slot that are not there are taken for; never lowered. */
  readonly floors?: readonly { readonly slot: number; readonly floor: Floor }[];
  /** Small chunks, by content; one that is there already stays. */
  readonly chunks?: readonly { readonly id: ChunkId; readonly bytes: Uint8Array }[];
  /** Registers whose chunks are known to be incomplete here, at which version; `null` takes a name off the list. */
  readonly incomplete?: readonly { readonly name: Name; readonly version: number | null }[];
  /** What other nodes have missed: put on the list, or struck off it. One that is there already keeps its place. */
  readonly owed?: readonly (Owed & { readonly settled: boolean })[];
  /** Digests of slots, computed from what was there at `turn`: a slot that changed since stays marked. */
  readonly digests?: readonly { readonly slot: number; readonly digest: string; readonly turn: number }[];
  /** Small documents of the node itself. */
  readonly documents?: readonly { readonly key: string; readonly text: string }[];
}

/** Something that a node should have and this one keeps, or knows of, for it. */
export interface Owed {
  readonly node: string;
  readonly name: Name;
  /** A chunk held in its place; without it, a change of the register that it missed. */
  readonly chunk?: ChunkId | undefined;
}

/** A chunk as a listing of what is stored shows it. */
export interface StoredChunk {
  readonly id: ChunkId;
  readonly sizeBytes: number;
}

/**
 * The index of everything a node holds, in one transactional store.
 * A commit is atomic, and durable when its promise resolves; commits that are waiting together may share one sync.
 * A read sees every commit that was resolved before it began. Rejects with `storage-full` when the disk is full.
 */
export interface Catalog {
  commit(change: CatalogChange): Promise<void>;
  register(name: Name): Promise<AcceptorState | undefined>;
  /**
   * Registers with an accepted value, tombstones too. Fewer than `limit` rows means that the range ended. `thorough`, and
   * slower: damage that only other questions would meet is found as well.
   */
  scan(range: ScanRange, thorough?: boolean): Promise<RegisterRow[]>;
  /** A small chunk's bytes, unverified. */
  chunk(id: ChunkId): Promise<Uint8Array | undefined>;
  hasChunks(ids: readonly ChunkId[]): Promise<boolean[]>;
  deleteChunk(id: ChunkId): Promise<void>;
  /** Small chunks in order of id, greater than `after` ("" for all). Fewer than `limit` means that there are no more. */
  listChunks(after: ChunkId, limit: number): Promise<StoredChunk[]>;
  /** In the order in which they were put, at most `limit`. */
  incomplete(limit: number): Promise<{ name: Name; version: number }[]>;
  /** What is owed to a node, changes or chunks, in the order in which it was put, at most `limit`. */
  owedTo(node: string, what: "changes" | "chunks", limit: number): Promise<Owed[]>;
  /** How many entries are owed to whom. */
  owedCounts(): Promise<{ node: string; changes: number; chunks: number }[]>;
  /** Which of these chunks are held for somebody. */
  areOwed(ids: readonly ChunkId[]): Promise<boolean[]>;
  /**
   * All registers of a slot, also those that have only promised, in order of name and greater than `after` ("" for all);
   * with `end`, then those of the slots up to it, itself not among them. Fewer than `limit` means that there are no more.
   */
  slotRows(slot: number, after: Name, limit: number, end?: number): Promise<RegisterRow[]>;
  /** Slots that changed since their digest was computed; `turn` tells changes apart. */
  changedSlots(limit: number): Promise<{ slot: number; turn: number }[]>;
  /** Every digest that was committed, whether its slot has changed since or not. */
  digests(): Promise<{ slot: number; digest: string }[]>;
  floors(): Promise<{ slot: number; floor: Floor }[]>;
  document(key: string): Promise<string | undefined>;
  /** Waits for what is under way, then lets go of the files. */
  close(): Promise<void>;
}

/**
 * Chunks as files. Their names are their digests; the caller has checked that the bytes match.
 * `put` is durable when it resolves: file synced, renamed, directory synced. Rejects with `storage-full`.
 */
export interface ChunkFiles {
  put(id: ChunkId, bytes: Uint8Array): Promise<void>;
  /** Verified bytes; `corrupt` when there is a file whose bytes are not what was put. */
  get(id: ChunkId): Promise<{ kind: "found"; bytes: Uint8Array } | { kind: "missing" } | { kind: "corrupt" }>;
  has(id: ChunkId): Promise<boolean>;
  /** Moves a corrupt file out of the way; kept for whoever wants to look. */
  setAside(id: ChunkId): Promise<void>;
  delete(id: ChunkId): Promise<void>;
  /** In order of id, greater than `after` ("" for all), good or not. Fewer than `limit` means that there are no more. */
  list(after: ChunkId, limit: number): Promise<StoredChunk[]>;
}

/** A bounded store of copies that may vanish at any time: the disk cache. Nothing in it is synced. */
export interface ChunkCache {
  put(id: ChunkId, bytes: Uint8Array): Promise<void>;
  /** Verified bytes; a copy that fails is dropped. */
  get(id: ChunkId): Promise<Uint8Array | undefined>;
  /** As far as is known without looking at the disk. */
  has(id: ChunkId): boolean;
  /** Whether a copy of so many bytes would take nobody's place. */
  hasRoomFor(sizeBytes: number): boolean;
  readonly usedBytes: number;
}

// --- Other nodes -----------------------------------------------------------------------------------------------------

export interface CallOptions {
  /** Ms until the call fails with `peer-timeout`, whatever the peer does. */
  readonly timeoutMs: number;
  /** Who should answer; anybody else is `wrong-node`. */
  readonly expect?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** W3C traceparent to continue. */
  readonly trace?: string | undefined;
  /** The layout by which the question was put; whoever answers must go by the same, or by none older where it only tells. */
  readonly layout?: number | undefined;
  /** Told of each piece of a chunk that comes, before the answer is whole. */
  readonly onProgress?: (() => void) | undefined;
}

/**
 * Calls to other nodes, at most one answer each and never a retry: retrying is the coordinator's decision alone.
 * A reply is of the request's kind or a fault: `peer-unreachable` (surely not carried out), `peer-timeout`,
 * `peer-garbage`, `peer-refused`, `wrong-ring`, `wrong-node`, `wrong-protocol`, `wrong-layout`, or the code the peer named.
 */
export interface Peers {
  call<R extends PeerRequest>(url: string, request: R, options: CallOptions): Promise<ReplyTo<R>>;
}

export type ReplyTo<R extends PeerRequest> = Extract<
  PeerReply,
  { type: R["type"] extends "ping" ? "pong" : R["type"] }
>;

/** Where a peer may be found. Who answers there says itself who it is, and of which ring. */
export interface Discovered {
  /** A peer URL. */
  readonly url: string;
  /** What the source calls it: on Fly.io the machine, which need not be the node. */
  readonly id?: string | undefined;
  readonly region?: string | undefined;
}

/** What knows of peers before they were ever heard: a list, DNS, a registry. */
export interface Discovery {
  /**
   * Once. Tells of all that is to be found, first when there is any, then whenever that changed: at most 256, each URL
   * once. A source that fails, or says what cannot be read, changes nothing: what was told last goes on to hold.
   */
  start(onFound: (found: readonly Discovered[]) => void): void;
  /** Nothing is told from now on; resolves, never rejects, when nothing is left of it, an entry in a registry included. */
  stop(): Promise<void>;
}

/**
 * Where the layout that was decided is shown to whoever looks: a place beside the ring, which decides nothing, may be away,
 * forget, or go back to what it showed before. Neither faults nor waits for what it does.
 */
export interface LayoutBoard {
  /**
   * Once. Tells what stands there, `undefined` for nothing: first as soon as that is known, then whenever it changed. What
   * was told last goes on to hold while the board is away.
   */
  start(onShown: (shown: Layout | "unreadable" | undefined) => void): void;
  /**
   * From now on sees to it that the board shows this layout or a later one of its ring. Never goes back to a lower number,
   * and leaves alone what is another ring's.
   */
  publish(layout: Layout): void;
  /** Nothing is told or published from now on; resolves, never rejects, when nothing is left of it. */
  stop(): Promise<void>;
}

export interface OriginRequest {
  readonly method: "GET" | "HEAD";
  /** Absolute, http or https. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Ms until the head of the answer is here, whatever that waits for: a connection's turn included. */
  readonly headTimeoutMs: number;
  /** Ms until the first part of its body, and between any two. */
  readonly partTimeoutMs: number;
}

export interface OriginAnswer {
  /** Final: 200 or more. */
  readonly status: number;
  /** Names in lower case; several of a name are several entries. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /**
   * Once. Ends with `origin-failed` when less came than was announced, with `origin-timeout` when nothing came for too long.
   * Whoever leaves it early, or does not want it, calls its `return`.
   */
  readonly body: AsyncIterableIterator<Uint8Array>;
}

/**
 * Web servers that a bucket's objects come from. Rejects with `origin-failed` where there was no answer, or none that can
 * be understood; with `origin-timeout`; with `origin-forbidden` for addresses that this node may not connect to.
 */
export interface Origin {
  fetch(request: OriginRequest): Promise<OriginAnswer>;
}

/** Answers peers' requests; the other end of `Peers`. */
export type PeerHandler = (
  from: {
    readonly node: string;
    readonly trace?: string | undefined;
    readonly layout?: number | undefined;
  },
  request: PeerRequest,
) => Promise<PeerReply>;

// --- Being seen ------------------------------------------------------------------------------------------------------

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}
