/**
 * Objects: what the public interface does, over registers and chunks.
 */
import {
  mayUse,
  mayUseWhenUnreachable,
  NOTHING_ASKED,
  parsePolicy,
  type RequestDirectives,
  type StoredPolicy,
} from "../core/freshness.ts";
import { type ChunkSizes, isExpired, type Manifest } from "../core/manifest.ts";
import type { Name } from "../core/names.ts";
import { checkWrite, type WriteConditions } from "../core/precondition.ts";
import type { RegisterValue } from "../core/register.ts";
import { AtollError, isAtollError } from "../errors.ts";
import type { Clock, Hashing } from "../ports.ts";
import type { Buffers } from "./buffer-budget.ts";
import type { ChunkWriter } from "./chunk-writer.ts";
import type { Content, OpenContent } from "./content.ts";
import type { KnownValue, MemoryCache } from "./memory-cache.ts";
import { type Upload, Uploads } from "./put-object.ts";
import type { Registers } from "./registers.ts";
import type { StrongReads } from "./strong-reads.ts";

/** An object as one version of it stands. */
export interface ObjectVersion {
  readonly version: number;
  readonly modifiedMs: number;
  readonly manifest: Manifest;
  /** The same object for the same stored value: what is derived from it may be kept beside it. */
  readonly value: RegisterValue;
}

/** How the version was known. */
export type Knowledge =
  /** Used without asking, as its freshness allows; `ttlSeconds` left, negative when stale. */
  | { readonly kind: "fresh"; readonly ttlSeconds: number; readonly ageMs: number }
  /**
   * A majority said that it is current. `held`: this node had that version before. `forced`: what is here could have been
   * used, had the request not wanted more.
   */
  | {
    readonly kind: "asked";
    readonly held: boolean;
    readonly forced?: boolean;
    readonly tookMs: number;
    /** Of that, this node's own look into its catalog, where it was needed. */
    readonly catalogMs?: number | undefined;
  };

export type Located =
  | { readonly kind: "found"; readonly object: ObjectVersion; readonly known: Knowledge }
  | { readonly kind: "absent"; readonly version: number }
  /** `only-if-cached`, and it is not. */
  | { readonly kind: "not-cached" };

export type PutOutcome =
  | {
    readonly kind: "stored";
    readonly created: boolean;
    readonly version: number;
    readonly manifest: Manifest;
    readonly modifiedMs: number | undefined;
    readonly took: WriteTimes;
  }
  /** What came, all the same: safe until it is collected, and to be found by nobody else. */
  | Conflict & { readonly manifest: Manifest };

/** Where the time of a write went. */
export interface WriteTimes {
  /** From the first byte until all chunks were safe. */
  readonly bodyMs: number;
  readonly registerMs: number;
  /** Of the register, one after the other: see `Changed`. */
  readonly trips: number;
}

export type DeleteOutcome = { readonly kind: "deleted"; readonly version: number | undefined } | Conflict;

export interface Conflict {
  readonly kind: "conflict";
  readonly detail: string;
  /** What stands there instead. */
  readonly current: ObjectVersion | undefined;
}

export interface ObjectsDeps {
  registers: Registers;
  strongReads: StrongReads;
  content: Content;
  memory: MemoryCache;
  writer: ChunkWriter;
  buffers: Buffers;
  hashing: Hashing;
  clock: Clock;
  uploadMaxMs: number;
  /** Rejects with `no-quorum` where a majority for the name is known to be out of reach. */
  mustHope: (name: Name) => Promise<void>;
  chunkSizes?: ChunkSizes | undefined;
  /** A change of a name was committed by this node. */
  onCommitted: (name: Name, version: number) => void;
}

export class Objects {
  readonly #deps: ObjectsDeps;
  readonly #uploads: Uploads;
  readonly #policies = new WeakMap<RegisterValue, StoredPolicy>();
  readonly #revalidating = new Set<Name>();

  constructor(deps: ObjectsDeps) {
    this.#deps = deps;
    this.#uploads = new Uploads(deps);
  }

  policyOf(object: ObjectVersion): StoredPolicy {
    return this.#policy(object.value, object.manifest);
  }

  /** The answer without waiting, where memory and the rules of freshness allow one. */
  peek(name: Name, directives: RequestDirectives): Located | undefined {
    const { memory, strongReads, clock } = this.#deps;
    const held = memory.value(name);
    if (held?.value?.content.kind === "object") {
      const { manifest } = held.value.content;
      const ageMs = clock.monotonicMs() - held.knownAtMs;
      const use = mayUse(this.#policy(held.value, manifest), ageMs, clock.wallMs(), directives);
      if (use.kind === "fresh" || use.kind === "stale-while-revalidate") {
        if (use.kind === "stale-while-revalidate") this.#revalidate(name);
        return this.#found(held.value, { kind: "fresh", ttlSeconds: use.ttlSeconds, ageMs });
      }
      if (use.kind === "only-if-cached-miss") return { kind: "not-cached" };
    }
    const current = strongReads.peek(name);
    if (!current) return undefined;
    return this.#found(current.value, { kind: "asked", held: true, forced: this.#isFresh(held), tookMs: 0 });
  }

  /** Rejects with `no-quorum` where a majority had to be asked and could not be. */
  async locate(name: Name, directives: RequestDirectives, trace?: string): Promise<Located> {
    const known = this.peek(name, directives);
    if (known) return known;
    if (directives.onlyIfCached) return { kind: "not-cached" };
    const { memory, strongReads, clock } = this.#deps;
    const held = memory.value(name);
    const forced = this.#isFresh(held);
    const begunMs = clock.monotonicMs();
    try {
      const current = await strongReads.read(name, trace);
      const learned = memory.learn(name, current);
      return this.#found(learned.value, {
        kind: "asked",
        held: held?.value !== undefined && held.value?.version === learned.value?.version,
        forced,
        tookMs: clock.monotonicMs() - begunMs,
        catalogMs: current.catalogMs,
      });
    } catch (error) {
      const stale = isAtollError(error, "no-quorum") ? this.#whenUnreachable(held, directives) : undefined;
      if (stale) return stale;
      throw error;
    }
  }

  open(
    name: Name,
    object: Pick<ObjectVersion, "manifest">,
    first: number,
    last: number,
    trace?: string,
  ): Promise<OpenContent> {
    return this.#deps.content.open(name, object.manifest, first, last, trace);
  }

  /** Whether its bytes are in this node's caches. */
  isHere(object: ObjectVersion): boolean {
    return this.#deps.content.isCached(object.manifest);
  }

  /** The whole of a small object that is in memory. */
  peekContent(object: ObjectVersion): Uint8Array | undefined {
    return this.#deps.content.peek(object.manifest);
  }

  /**
   * Besides what `Uploads.receive` and `Registers.change` reject with, nothing. `objection`: why what stands there must stay,
   * if it must; asked as `ChangeRequest.decide` is.
   */
  async put(
    upload: Upload,
    conditions: WriteConditions,
    objection?: (there: RegisterValue | null) => string | undefined,
  ): Promise<PutOutcome> {
    const { registers, memory, clock } = this.#deps;
    await this.#deps.mustHope(upload.name);
    const begunMs = clock.monotonicMs();
    const { manifest, chunk } = await this.#uploads.receive(upload);
    const receivedMs = clock.monotonicMs();
    /** By the version it would make: which of several attempts took effect is known only afterwards. */
    const creates = new Map<number, boolean>();
    let fromNothing = false;
    let conflict: string | undefined;
    const outcome = await registers.change({
      name: upload.name,
      chunk,
      trace: upload.trace,
      decide: (value) => {
        const current = this.#live(value);
        const check = checkWrite(conditions, current && { ...current, sha256: current.manifest.sha256 });
        conflict = check.kind === "failed" ? check.detail : objection?.(value);
        // Where nothing is, not even a tombstone, what version comes next is not known here.
        if (value === null) fromNothing = true;
        else creates.set(value.version + 1, current === undefined);
        return conflict === undefined
          ? { kind: "write", content: { kind: "object", manifest } }
          : { kind: "stop" };
      },
    });
    if (outcome.kind === "stopped") {
      if (outcome.value) memory.outdated(upload.name, outcome.value.version);
      return { ...this.#conflict(conflict, outcome.value), manifest };
    }
    memory.learn(upload.name, outcome);
    this.#deps.onCommitted(upload.name, outcome.version);
    const { value, version } = outcome;
    return {
      kind: "stored",
      created: creates.get(version) ?? fromNothing,
      version,
      manifest,
      // Overtaken already, its own time is not known any more.
      modifiedMs: value.version === version ? value.modifiedMs : undefined,
      took: {
        bodyMs: receivedMs - begunMs,
        registerMs: clock.monotonicMs() - receivedMs,
        trips: outcome.trips,
      },
    };
  }

  async delete(name: Name, conditions: WriteConditions, trace?: string): Promise<DeleteOutcome> {
    const { registers, memory } = this.#deps;
    await this.#deps.mustHope(name);
    let conflict: string | undefined;
    const outcome = await registers.change({
      name,
      trace,
      decide: (value) => {
        const current = this.#live(value);
        const check = checkWrite(conditions, current && { ...current, sha256: current.manifest.sha256 });
        conflict = check.kind === "failed" ? check.detail : undefined;
        if (conflict !== undefined || value === null || value.content.kind === "tombstone") {
          return { kind: "stop" };
        }
        return { kind: "write", content: { kind: "tombstone" } };
      },
    });
    if (outcome.kind === "stopped") {
      if (conflict !== undefined) return this.#conflict(conflict, outcome.value);
      return { kind: "deleted", version: outcome.value?.version };
    }
    memory.learn(name, outcome);
    this.#deps.onCommitted(name, outcome.version);
    return { kind: "deleted", version: outcome.version };
  }

  /** The same content under other headers, if it still is that version; undefined: it is another by now. */
  async amend(
    name: Name,
    { version }: ObjectVersion,
    { headers, expiresMs }: Pick<Manifest, "headers" | "expiresMs">,
    trace?: string,
  ): Promise<ObjectVersion | undefined> {
    const outcome = await this.#deps.registers.change({
      name,
      trace,
      decide: (value) => {
        if (value?.version !== version || value.content.kind !== "object") return { kind: "stop" };
        const { expiresMs: _, ...manifest } = value.content.manifest;
        const amended = { ...manifest, headers, ...(expiresMs !== undefined && { expiresMs }) };
        return { kind: "write", content: { kind: "object", manifest: amended } };
      },
    });
    if (outcome.kind === "stopped") return undefined;
    this.#deps.memory.learn(name, outcome);
    this.#deps.onCommitted(name, outcome.version);
    return outcome.value.version === outcome.version ? this.#live(outcome.value) : undefined;
  }

  /** Ms since a majority said that nothing is there; undefined where this node does not know. */
  absentForMs(name: Name): number | undefined {
    const held = this.#deps.memory.value(name);
    if (!held || this.#live(held.value)) return undefined;
    return this.#deps.clock.monotonicMs() - held.knownAtMs;
  }

  /** Makes a tombstone of an object whose time has passed, if it still is that version; to readers it is absent already. */
  async expire(name: Name, version: number): Promise<void> {
    const { registers, memory, clock } = this.#deps;
    const outcome = await registers.change({
      name,
      decide: (value) => {
        const isThat = value?.version === version && value.content.kind === "object" &&
          isExpired(value.content.manifest, clock.wallMs());
        return isThat ? { kind: "write", content: { kind: "tombstone" } } : { kind: "stop" };
      },
    });
    if (outcome.kind === "stopped") return;
    memory.learn(name, outcome);
    this.#deps.onCommitted(name, outcome.version);
  }

  #conflict(detail: string | undefined, value: RegisterValue | null): Conflict {
    if (detail === undefined) throw new AtollError("internal", "a change stopped without a reason");
    return { kind: "conflict", detail, current: this.#live(value) };
  }

  #live(value: RegisterValue | null): ObjectVersion | undefined {
    if (value?.content.kind !== "object") return undefined;
    const { manifest } = value.content;
    if (manifest.expiresMs !== undefined && isExpired(manifest, this.#deps.clock.wallMs())) return undefined;
    return { version: value.version, modifiedMs: value.modifiedMs, manifest, value };
  }

  #found(value: RegisterValue | null, known: Knowledge): Located {
    const object = this.#live(value);
    return object ? { kind: "found", object, known } : { kind: "absent", version: value?.version ?? 0 };
  }

  #policy(value: RegisterValue, manifest: Manifest): StoredPolicy {
    let policy = this.#policies.get(value);
    if (!policy) this.#policies.set(value, policy = parsePolicy(manifest.headers, value.modifiedMs));
    return policy;
  }

  /** By the object's own word. */
  #isFresh(held: KnownValue | undefined): boolean {
    if (held?.value?.content.kind !== "object") return false;
    const { clock } = this.#deps;
    const ageMs = clock.monotonicMs() - held.knownAtMs;
    const policy = this.#policy(held.value, held.value.content.manifest);
    return mayUse(policy, ageMs, clock.wallMs(), NOTHING_ASKED).kind === "fresh";
  }

  #whenUnreachable(held: KnownValue | undefined, directives: RequestDirectives): Located | undefined {
    if (held?.value?.content.kind !== "object") return undefined;
    const { clock } = this.#deps;
    const ageMs = clock.monotonicMs() - held.knownAtMs;
    const policy = this.#policy(held.value, held.value.content.manifest);
    const use = mayUseWhenUnreachable(policy, ageMs, clock.wallMs(), directives);
    if (use.kind === "no") return undefined;
    return this.#found(held.value, { kind: "fresh", ttlSeconds: use.ttlSeconds, ageMs });
  }

  /** One question in the background, however many readers were given the stale answer. */
  #revalidate(name: Name): void {
    if (this.#revalidating.has(name)) return;
    this.#revalidating.add(name);
    this.#deps.strongReads.read(name).then(
      (current) => void this.#deps.memory.learn(name, current),
      () => {
        // Stale answers go on for as long as they are allowed; then a reader asks, and hears of the failure.
      },
    ).finally(() => this.#revalidating.delete(name));
  }
}
