/**
 * The doors through which `node/` reaches the world. Production adapters and simulated ones obey the same contracts,
 * which the suites in test/conformance hold both to.
 */
import type { Ballot } from "./core/ballot.ts";
import type { Layout } from "./core/layout.ts";
import type { ChunkId } from "./core/manifest.ts";
import type { MemberRumour } from "./core/member-list.ts";
import type { Name } from "./core/names.ts";
import type { Testimony } from "./core/quorum.ts";
import type { AcceptorState, AcceptReply, Floor, PrepareReply, RegisterValue } from "./core/register.ts";

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

export interface Hashing {
  /** SHA-256 in lower-case hex, on the caller's thread: 0.7 ms for a whole chunk. */
  sha256(bytes: Uint8Array): string;
  running(algorithm: DigestAlgorithm): RunningDigest;
}

// --- What is durable -------------------------------------------------------------------------------------------------

export interface RegisterRow {
  readonly name: Name;
  readonly state: AcceptorState;
}

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

/** A stretch of names in order of their UTF-8 bytes. */
export interface ScanRange {
  /** Only names that begin with it. */
  readonly prefix: Name;
  /** Only names greater than this; "" for all. */
  readonly after: Name;
  /** Names that begin with this are passed over too: for leaping past a common prefix. */
  readonly afterPrefix?: Name;
  readonly limit: number;
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
  readonly usedBytes: number;
}

// --- Other nodes -----------------------------------------------------------------------------------------------------

/** What a node says of itself, in every ping and every answer to one. */
export interface NodeCard {
  readonly id: string;
  readonly region: string;
  readonly zone: string;
  /** Where peers reach it. */
  readonly peerUrl: string;
  /** Where clients reach it. */
  readonly publicUrl: string;
  /** New at each start, so that a restart is seen as one. */
  readonly incarnation: string;
  /** Undefined until it belongs to a ring. */
  readonly ringId?: string | undefined;
  readonly layoutNumber: number;
  /** Nodes expected before the first layout is made; 0 when it will not found a ring. */
  readonly bootstrapExpect: number;
}

/** What nodes tell each other of nodes. */
export type Rumour = MemberRumour<NodeCard>;

export type PeerRequest =
  /** `news`: the first rumour is the sender's own. `known`: cards, as nodes tell of others that know no rumours. */
  | {
    readonly type: "ping";
    readonly card: NodeCard;
    readonly known?: readonly NodeCard[] | undefined;
    readonly news?: readonly Rumour[] | undefined;
  }
  /** Does the receiver reach that node? */
  | { readonly type: "probe"; readonly target: string; readonly news: readonly Rumour[] }
  /** Whom does the receiver know, with IDs greater than `after`? */
  | { readonly type: "members"; readonly after: string }
  | { readonly type: "layout" }
  /** Votes on the layout of that number; the first is voted by all who found the ring, the others by its voters. */
  | { readonly type: "decree-prepare"; readonly number: number; readonly ballot: Ballot }
  | { readonly type: "decree-accept"; readonly ballot: Ballot; readonly layout: Layout }
  /** What a voter has promised and accepted, for one that lost its own. */
  | { readonly type: "decree-state" }
  /** How far is the receiver with taking over what that layout gives it? */
  | { readonly type: "moved"; readonly number: number }
  | {
    readonly type: "prepare";
    readonly name: Name;
    readonly ballot: Ballot;
    /** A small object's one chunk travels with the promise and is durable before it is given. */
    readonly chunk?: { readonly id: ChunkId; readonly bytes: Uint8Array } | undefined;
  }
  | { readonly type: "accept"; readonly name: Name; readonly ballot: Ballot; readonly value: RegisterValue }
  /** `known`: the ballot whose value the asker holds; it is not sent again. */
  | { readonly type: "read"; readonly name: Name; readonly known?: Ballot | undefined }
  /**
   * The bytes are the handler's until it has answered. `computed`: what the receiving end hashed them to while they
   * arrived; it is never sent.
   */
  | {
    readonly type: "chunk-put";
    readonly id: ChunkId;
    readonly bytes: Uint8Array;
    readonly computed?: ChunkId | undefined;
    /** The replica in whose place the receiver is to hold it, and of which name. */
    readonly owed?: { readonly node: string; readonly name: Name } | undefined;
  }
  | { readonly type: "chunk-get"; readonly id: ChunkId }
  /** Which of these are stored at the receiver? */
  | { readonly type: "chunks-held"; readonly ids: readonly ChunkId[] }
  /** Which of these does the receiver lack and look for? */
  | { readonly type: "chunks-wanted"; readonly ids: readonly ChunkId[] }
  | { readonly type: "scan"; readonly range: ScanRange }
  | { readonly type: "notice"; readonly commits: readonly { name: Name; version: number }[] }
  /** Digests of whole partitions, in the order asked. */
  | { readonly type: "digests"; readonly partitions: readonly number[] }
  /** Digests of all slots of a partition. */
  | { readonly type: "slot-digests"; readonly partition: number }
  /** What the receiver has accepted in a slot, names greater than `after`. */
  | { readonly type: "slot-entries"; readonly slot: number; readonly after: Name }
  /**
   * The acceptor's whole states, promises too, of these partitions in this order; with `from` from that slot on, and in it
   * only names greater than `after`. For a replica that has yet to know them.
   */
  | {
    readonly type: "slot-states";
    readonly partitions: readonly number[];
    readonly from?: { readonly slot: number; readonly after: Name } | undefined;
  }
  | { readonly type: "state"; readonly name: Name }
  /** The sender speaks from a new disk: votes that came from an older one are void from now on. */
  | { readonly type: "remember"; readonly memory: Ballot }
  /** Every replica holds a tombstone in this ballot, promised and accepted: the register may go. */
  | { readonly type: "forget"; readonly name: Name; readonly ballot: Ballot };

export interface ScanEntry {
  readonly name: Name;
  readonly accepted: Ballot;
  readonly version: number;
  /** Undefined for a tombstone. */
  readonly object?: {
    readonly size: number;
    readonly sha256: string;
    readonly modifiedMs: number;
    readonly contentType: string;
    readonly expiresMs?: number | undefined;
  } | undefined;
}

export type PeerReply =
  | {
    readonly type: "pong";
    readonly card: NodeCard;
    readonly known?: readonly NodeCard[] | undefined;
    readonly news?: readonly Rumour[] | undefined;
  }
  | { readonly type: "probe"; readonly reached: boolean; readonly news: readonly Rumour[] }
  /** `next`: what the next page begins after; absent at the end. */
  | { readonly type: "members"; readonly entries: readonly Rumour[]; readonly next?: string | undefined }
  | { readonly type: "layout"; readonly layout?: Layout | undefined }
  | {
    readonly type: "decree-prepare";
    readonly reply: DecreePrepareReply;
    readonly testimony?: Testimony | undefined;
  }
  | {
    readonly type: "decree-accept";
    readonly reply: AcceptReply;
    readonly testimony?: Testimony | undefined;
  }
  | { readonly type: "decree-state"; readonly state: DecreeState }
  | { readonly type: "moved"; readonly progress: MoveProgress }
  /** `stored`: the digest the replica computed of the chunk it made durable. */
  | {
    readonly type: "prepare";
    readonly reply: PrepareReply;
    readonly stored?: ChunkId | undefined;
    readonly testimony?: Testimony | undefined;
  }
  | { readonly type: "accept"; readonly reply: AcceptReply; readonly testimony?: Testimony | undefined }
  /** `value` is absent when `accepted` is the ballot the asker knows. */
  | {
    readonly type: "read";
    readonly accepted: Ballot;
    readonly value?: RegisterValue | null | undefined;
    readonly testimony?: Testimony | undefined;
  }
  | { readonly type: "chunk-put"; readonly stored: ChunkId }
  | { readonly type: "chunk-get"; readonly bytes?: Uint8Array | undefined }
  | { readonly type: "chunks-held"; readonly held: readonly boolean[] }
  | { readonly type: "chunks-wanted"; readonly wanted: readonly boolean[] }
  | { readonly type: "scan"; readonly entries: readonly ScanEntry[]; readonly done: boolean }
  | { readonly type: "notice" }
  | { readonly type: "digests"; readonly digests: readonly string[] }
  | { readonly type: "slot-digests"; readonly digests: readonly string[] }
  | {
    readonly type: "slot-entries";
    readonly entries: readonly { readonly name: Name; readonly accepted: Ballot }[];
    /** The name the next page begins after; absent at the end. */
    readonly next?: Name | undefined;
  }
  | {
    readonly type: "slot-states";
    readonly rows: readonly RegisterRow[];
    /** Of the slots that were looked at, where there are any. */
    readonly floors: readonly { readonly slot: number; readonly floor: Floor }[];
    /** Where the next page begins; absent at the end. */
    readonly next?: { readonly slot: number; readonly after: Name } | undefined;
  }
  | { readonly type: "state"; readonly state: AcceptorState }
  /** The newest of the sender's disks that the receiver knows of, durably. */
  | { readonly type: "remember"; readonly known: Ballot }
  | { readonly type: "forget"; readonly forgotten: boolean }
  /** The node could not do it: `code` as in errors.ts. */
  | { readonly type: "error"; readonly code: string; readonly message: string };

export type DecreePrepareReply =
  | { readonly kind: "promised"; readonly accepted: Ballot; readonly layout: Layout | null }
  | { readonly kind: "refused"; readonly promised: Ballot };

/** A voter's acceptor on the layout of that number. */
export interface DecreeState {
  readonly number: number;
  readonly promised: Ballot;
  readonly accepted: Ballot;
  readonly layout: Layout | null;
}

/** What a node has taken over of what a moving layout gives it. */
export interface MoveProgress {
  /** Everything: registers and chunks. */
  readonly done: boolean;
  readonly partitions: number;
  readonly partitionsLeft: number;
  /** Of chunks fetched since the move began. */
  readonly bytes: number;
  /** Objects whose chunks are still missing. */
  readonly objectsLeft: number;
}

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
