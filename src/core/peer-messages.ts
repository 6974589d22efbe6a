/** What nodes ask and answer each other, as data: the wire has its own schemas, which are held against these. */
import type { Ballot } from "./ballot.ts";
import type { Layout } from "./layout.ts";
import type { ChunkId } from "./manifest.ts";
import type { MemberRumour } from "./member-list.ts";
import type { Name, ScanRange } from "./names.ts";
import type { Purge } from "./purge.ts";
import type { Testimony } from "./quorum.ts";
import type {
  AcceptorState,
  AcceptReply,
  Floor,
  PrepareReply,
  RegisterRow,
  RegisterValue,
} from "./register.ts";

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
  | {
    readonly type: "accept";
    readonly name: Name;
    readonly ballot: Ballot;
    readonly value: RegisterValue;
    /** A small object's, for one that missed it; durable in the very commit that accepts. */
    readonly chunk?: { readonly id: ChunkId; readonly bytes: Uint8Array } | undefined;
  }
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
  /**
   * `forRegion`: a node of the receiver's region asks, and what the receiver lacks it fetches, of no third node of that region;
   * `keep`: it is worth its place in memory; `warm`: nobody waits for it, it is to be in the receiver's caches, and no bytes are
   * to come back.
   */
  | {
    readonly type: "chunk-get";
    readonly id: ChunkId;
    readonly forRegion?:
      | {
        readonly name: Name;
        readonly sizeBytes: number;
        readonly keep: boolean;
        readonly warm?: boolean | undefined;
      }
      | undefined;
  }
  /** Which of these are stored at the receiver? */
  | { readonly type: "chunks-held"; readonly ids: readonly ChunkId[] }
  /** Which of these does the receiver lack and look for? */
  | { readonly type: "chunks-wanted"; readonly ids: readonly ChunkId[] }
  | { readonly type: "scan"; readonly range: ScanRange }
  | { readonly type: "notice"; readonly commits: readonly { name: Name; version: number }[] }
  | { readonly type: "purge"; readonly what: Purge }
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
  /** How many of the objects that the receiver knew fell under it. */
  | { readonly type: "purge"; readonly purged: number }
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
  /** Of chunks that are known to be missing, about; not said by nodes of an older version. */
  readonly bytesLeft?: number | undefined;
  /** Objects whose chunks are still missing; once it is done, those of which nobody has them. */
  readonly objectsLeft: number;
}
