/**
 * Listings: each object whose write ended before, none whose delete did.
 *
 * Every node holds the registers of its partitions in order of name. A page is merged from nodes that together include
 * a majority of every partition's replicas. Where that majority holds one and the same ballot for a name, its value is
 * committed and newer than none that ended before; where it does not, the name is read strongly, which settles it.
 */
import { type Ballot, NO_BALLOT } from "../core/ballot.ts";
import type { Layout } from "../core/layout.ts";
import { compareUtf8, type Name, RING_BUCKET, utf8Length } from "../core/names.ts";
import { PARTITIONS } from "../core/partitions.ts";
import { Tally } from "../core/quorum.ts";
import type { RegisterValue } from "../core/register.ts";
import { AtollError, isAtollError, messageOf } from "../errors.ts";
import type { Catalog, Clock, ScanEntry, ScanRange } from "../ports.ts";
import type { Membership } from "./membership.ts";
import type { Outlook } from "./outlook.ts";
import type { PeerGate } from "./peer-gate.ts";
import type { Recovery } from "./repair/recovery.ts";
import type { Ring } from "./ring.ts";
import type { StrongReads } from "./strong-reads.ts";
import { defer, Permits } from "./waiting.ts";

const SCAN_TIMEOUT_MS = 5_000;
const SCAN_LIMIT_MAX = 1_000;
/** Rows carry all of an object's headers: no more of them are in memory for one scan. */
const ROWS_AT_ONCE = 256;
/**
 * JSON of a page, which ends with the entry that reaches it. A type alone may be 16 thousand characters, twice that in JSON:
 * by their number alone a thousand entries would be more than another node reads of an answer.
 */
export const PAGE_BYTES_MAX = 4 << 20;
const SETTLING_AT_ONCE = 16;
/** Newer layouts by which one page is asked for again. */
const LAYOUTS_MAX = 16;
export const DEFAULT_CONTENT_TYPE = "application/octet-stream";

export interface ListRequest {
  /** Names must begin with it. */
  readonly prefix: Name;
  /** Exclusive; a whole name, or "" for the beginning. */
  readonly after: Name;
  /** Names alike up to and including its first occurrence after the prefix are one item. */
  readonly delimiter?: string | undefined;
  /** Fewer may come where they are large: `next` says whether there are more. */
  readonly limit: number;
  /** What the ring keeps for itself, and nothing else; otherwise none of it. */
  readonly ofRing?: boolean;
  readonly trace?: string | undefined;
}

export interface ListPage {
  readonly objects: readonly ScanEntry[];
  /** Whole names. */
  readonly prefixes: readonly Name[];
  /** The last item, when there is more. */
  readonly next: Name | null;
}

/** What a node knows of what it has forgotten. */
type Memory = Pick<Recovery, "mustRememberAllPartitions" | "damagedAmong">;

interface ScanPage {
  readonly entries: readonly ScanEntry[];
  readonly done: boolean;
}

type Replies = Map<string, ScanPage>;

export interface ListingsDeps {
  ring: Ring;
  catalog: Catalog;
  gate: PeerGate;
  membership: Membership;
  strongReads: StrongReads;
  outlook: Outlook;
  recovery: Memory;
  clock: Clock;
  /** Resolves when no newer layout is being fetched, however that went. */
  caughtUp: () => Promise<void>;
}

export class Listings {
  readonly #deps: ListingsDeps;
  /** The distinct replica sets of a layout: few, where nodes are. */
  #sets: { layout: Layout; sets: string[][] } | undefined;

  constructor(deps: ListingsDeps) {
    this.#deps = deps;
  }

  async list(request: ListRequest): Promise<ListPage> {
    const { prefix, delimiter, limit } = request;
    const objects: ScanEntry[] = [];
    const prefixes: Name[] = [];
    let last: Name | null = null;
    let bytes = 0;
    let after = request.after;
    let afterPrefix = groupOf(request.after, prefix, delimiter);
    for (;;) {
      const wanted = Math.min(SCAN_LIMIT_MAX, Math.max(64, limit - objects.length - prefixes.length + 1));
      const page = await this.#page({
        prefix,
        after,
        ...(afterPrefix !== undefined && { afterPrefix }),
        limit: wanted,
      }, request.trace);
      for (const entry of page.entries) {
        if (!entry.object || this.#isExpired(entry)) continue;
        if (entry.name.startsWith(RING_BUCKET) !== (request.ofRing ?? false)) continue;
        if (afterPrefix !== undefined && entry.name.startsWith(afterPrefix)) continue;
        if (objects.length + prefixes.length === limit || bytes >= PAGE_BYTES_MAX) {
          return { objects, prefixes, next: last };
        }
        const group = groupOf(entry.name, prefix, delimiter);
        bytes += jsonBytes(group ?? entry);
        if (group === undefined) objects.push(entry);
        else {
          prefixes.push(group);
          afterPrefix = group;
        }
        last = group ?? entry.name;
      }
      if (page.end === undefined) return { objects, prefixes, next: null };
      after = page.end;
    }
  }

  #isExpired(entry: ScanEntry): boolean {
    const expiresMs = entry.object?.expiresMs;
    return expiresMs !== undefined && expiresMs <= this.#deps.clock.wallMs();
  }

  /** Names of the range in order, up to `end`; undefined when the range ended. */
  async #page(
    range: ScanRange,
    trace: string | undefined,
  ): Promise<{ entries: ScanEntry[]; end: Name | undefined }> {
    const { layout, replies } = await this.#scanByNewest(range, trace);
    let end: Name | undefined;
    for (const { entries, done } of replies.values()) {
      const lastName = entries.at(-1)?.name;
      if (!done && lastName !== undefined && (end === undefined || compareUtf8(lastName, end) < 0)) {
        end = lastName;
      }
    }
    const byName = new Map<Name, Map<string, ScanEntry>>();
    for (const [node, { entries }] of replies) {
      for (const entry of entries) {
        if (end !== undefined && compareUtf8(entry.name, end) > 0) break;
        let holders = byName.get(entry.name);
        if (!holders) byName.set(entry.name, holders = new Map());
        holders.set(node, entry);
      }
    }
    const names = [...byName.keys()].sort(compareUtf8);
    const permits = new Permits(SETTLING_AT_ONCE);
    const settled = await Promise.all(
      names.map(async (name) =>
        this.#agreed(name, layout, byName.get(name)!, replies) ?? await this.#settle(name, permits, trace)
      ),
    );
    return { entries: settled.filter((entry) => entry !== undefined), end };
  }

  /** What a majority of the name's replicas holds in one ballot. */
  #agreed(
    name: Name,
    layout: number,
    holders: ReadonlyMap<string, ScanEntry>,
    replies: ReadonlyMap<string, unknown>,
  ): ScanEntry | undefined {
    const { number, replicas, sets } = this.#deps.ring.quorum(name);
    if (number !== layout) return undefined; // who decides has changed meanwhile: ask those
    const alike = new Map<string, { tally: Tally; entry: ScanEntry | undefined }>();
    for (const node of replicas) {
      if (!replies.has(node)) continue;
      const entry = holders.get(node);
      const ballot: Ballot = entry?.accepted ?? NO_BALLOT;
      const id = `${ballot.counter} ${ballot.node}`;
      let group = alike.get(id);
      if (!group) alike.set(id, group = { tally: new Tally(sets), entry });
      if (group.tally.vote(node, true) === "reached") {
        return group.entry ?? { name, accepted: NO_BALLOT, version: 0 };
      }
    }
    return undefined;
  }

  async #settle(name: Name, permits: Permits, trace: string | undefined): Promise<ScanEntry | undefined> {
    await permits.take();
    try {
      const { ballot, value } = await this.#deps.strongReads.read(name, trace);
      return value ? scanEntry(name, ballot, value) : undefined;
    } finally {
      permits.give();
    }
  }

  /** Once more by each newer layout that comes to light on the way. */
  async #scanByNewest(
    range: ScanRange,
    trace: string | undefined,
  ): Promise<{ layout: number; replies: Replies }> {
    const { ring, caughtUp } = this.#deps;
    for (let layouts = 1;; layouts++) {
      const { layout } = ring;
      if (!layout) throw new AtollError("no-quorum", "this node does not belong to a ring yet");
      try {
        return { layout: layout.number, replies: await this.#scanAll(range, layout, trace) };
      } catch (error) {
        if (!isAtollError(error, "wrong-layout") || layouts === LAYOUTS_MAX) throw error;
        await caughtUp();
        if (ring.number === layout.number) throw new AtollError("no-quorum", error.message, { cause: error });
      }
    }
  }

  /** Answers of nodes that include a majority of every partition's replicas. */
  async #scanAll(range: ScanRange, layout: Layout, trace: string | undefined): Promise<Replies> {
    const { ring, membership, outlook } = this.#deps;
    const sets = this.#distinctSets(layout);
    await outlook.mustHope({ sets, replicas: ring.members });
    const tally = new Tally(sets);
    const replies: Replies = new Map();
    const outcome = defer<typeof replies>();
    let overtaken = false;
    const ask = (node: string): void => {
      this.#scan(node, range, layout.number, trace).then((reply) => {
        if (tally.decision !== "pending") return;
        replies.set(node, reply);
        if (tally.vote(node, true) === "reached") outcome.resolve(replies);
      }, (error: unknown) => {
        overtaken ||= isAtollError(error, "wrong-layout");
        if (tally.vote(node, false) !== "impossible") return;
        outcome.reject(
          new AtollError(
            overtaken ? "wrong-layout" : "no-quorum",
            `wanted a majority of every partition's replicas to list: ${messageOf(error)}`,
          ),
        );
      });
    };
    // The suspect ones too: a listing needs all partitions, and has no second choice for most of them.
    for (const node of ring.members) if (node === ring.self || membership.isAlive(node)) ask(node);
    for (const node of ring.members) if (node !== ring.self && !membership.isAlive(node)) ask(node);
    return await outcome.promise;
  }

  async #scan(node: string, range: ScanRange, layout: number, trace: string | undefined) {
    const { ring, catalog, gate, recovery } = this.#deps;
    if (node === ring.self) {
      const page = await scanCatalog(catalog, range, recovery);
      ring.mustGoBy(layout);
      return page;
    }
    const page = await gate.call(node, { type: "scan", range }, {
      timeoutMs: SCAN_TIMEOUT_MS,
      trace,
      layout,
    });
    // One that is not done and gets nowhere would be asked for ever.
    const end = page.entries.at(-1)?.name ?? "";
    if (!page.done && compareUtf8(end, range.after) <= 0) {
      throw new AtollError("peer-garbage", `wanted names after the last page from ${node}, got none`);
    }
    return page;
  }

  #distinctSets(layout: Layout): string[][] {
    if (this.#sets?.layout !== layout) {
      const sets = new Map<string, string[]>();
      for (let partition = 0; partition < PARTITIONS; partition++) {
        for (const set of this.#deps.ring.quorumOfPartition(partition).sets) {
          const members = [...set].sort();
          sets.set(members.join(" "), members);
        }
      }
      this.#sets = { layout, sets: [...sets.values()] };
    }
    return this.#sets.sets;
  }
}

/**
 * One node's part of a listing: what its acceptors hold, tombstones too. Never empty where it is not done. Throws where the
 * node has forgotten some of it.
 */
export async function scanCatalog(catalog: Catalog, range: ScanRange, recovery: Memory): Promise<ScanPage> {
  recovery.mustRememberAllPartitions();
  const page = await scanPage(catalog, range);
  recovery.mustRememberAllPartitions();
  // Most that are damaged cannot be read; one may have gone from where a listing reads.
  const last = page.done ? undefined : page.entries.at(-1)!.name;
  const [damaged] = recovery.damagedAmong((name) =>
    name.startsWith(range.prefix) && compareUtf8(name, range.after) > 0 &&
    (last === undefined || compareUtf8(name, last) <= 0)
  );
  if (damaged === undefined) return page;
  throw new AtollError("damaged", `wanted to list ${damaged.replace("\0", "/")}, whose row here is damaged`);
}

async function scanPage(catalog: Catalog, range: ScanRange): Promise<ScanPage> {
  const limitMax = Math.min(range.limit, SCAN_LIMIT_MAX);
  const entries: ScanEntry[] = [];
  let bytes = 0;
  while (entries.length < limitMax) {
    const limit = Math.min(limitMax - entries.length, ROWS_AT_ONCE);
    const rows = await catalog.scan({ ...range, after: entries.at(-1)?.name ?? range.after, limit });
    for (const { name, state } of rows) {
      const entry = scanEntry(name, state.accepted, state.value!);
      entries.push(entry);
      bytes += jsonBytes(entry);
      if (bytes >= PAGE_BYTES_MAX) return { entries, done: false };
    }
    if (rows.length < limit) return { entries, done: true };
  }
  return { entries, done: false };
}

function jsonBytes(value: ScanEntry | Name): number {
  return utf8Length(JSON.stringify(value));
}

function scanEntry(name: Name, accepted: Ballot, value: RegisterValue): ScanEntry {
  const { version, modifiedMs, content } = value;
  if (content.kind !== "object") return { name, accepted, version };
  const { size, sha256, headers, expiresMs } = content.manifest;
  return {
    name,
    accepted,
    version,
    object: {
      size,
      sha256,
      modifiedMs,
      contentType: headers["content-type"] ?? DEFAULT_CONTENT_TYPE,
      ...(expiresMs !== undefined && { expiresMs }),
    },
  };
}

/** The common prefix that a name is listed under, if it is. */
function groupOf(name: Name, prefix: Name, delimiter: string | undefined): Name | undefined {
  if (!delimiter || !name.startsWith(prefix)) return undefined;
  const at = name.indexOf(delimiter, prefix.length);
  return at === -1 ? undefined : name.slice(0, at + delimiter.length);
}
