/**
 * What was last read of the ring's documents of one kind, for those who need one with every request: at no cost while it is
 * fresh, asked for anew behind its user, and never older than a few seconds while the ring answers. That there is none is
 * known in the same way. When nobody answers, what was known last goes on.
 */
import { LRUCache } from "lru-cache";
import { isAtollError } from "../errors.ts";
import type { Clock } from "../ports.ts";

/** Ms after which a use of it has it asked for anew. */
const REFRESH_MS = 2_000;
/**
 * Ms after which it is used no more unasked. A change tells all nodes at once; this bounds what a node goes by that was
 * not told, or whose users were away: few enough to wait for, and enough that who uses it steadily never waits.
 */
const KNOWN_MS = 5_000;
/** Ms between questions while nobody answers them. */
const RETRY_MS = 1_000;
const KNOWN_MAX = 4_096;
/** Bounded on its own, as whoever sends requests makes up names of what is not there: they drive out only each other. */
const ABSENT_MAX = 4_096;

interface Entry<T> {
  last?: { readonly document: T | undefined; readonly knownAtMs: number };
  flight?: Promise<T | undefined>;
  /** When nobody answered; gone with the first answer. */
  failedAtMs?: number;
}

export class KnownDocuments<T extends object> {
  readonly #clock: Clock;
  readonly #read: (id: string) => Promise<T | undefined>;
  /** Of documents that are there. */
  readonly #there = new LRUCache<string, Entry<T>>({ max: KNOWN_MAX });
  /** Of those that are not, and of which nothing is known yet. */
  readonly #others = new LRUCache<string, Entry<T>>({ max: ABSENT_MAX });

  /** `read`: strongly; undefined for none. */
  constructor(clock: Clock, read: (id: string) => Promise<T | undefined>) {
    this.#clock = clock;
    this.#read = read;
  }

  /** Rejects where nothing is known and nobody can be asked, and with whatever else than `no-quorum` reading fails. */
  get(id: string): T | undefined | Promise<T | undefined> {
    let entry = this.#find(id);
    if (!entry) this.#others.set(id, entry = {});
    const { last, failedAtMs } = entry;
    if (!last) return entry.flight ?? this.#ask(id, entry);
    const now = this.#clock.monotonicMs();
    const ageMs = now - last.knownAtMs;
    if (ageMs < REFRESH_MS) return last.document;
    const isUnreachable = failedAtMs !== undefined;
    if (!entry.flight && !(isUnreachable && now - failedAtMs < RETRY_MS)) void this.#ask(id, entry);
    return ageMs < KNOWN_MS || isUnreachable ? last.document : entry.flight;
  }

  /** Whether `get` would give it at once. Asks nobody, and is no use of it. */
  isAtHand(id: string): boolean {
    const { last, failedAtMs } = this.#there.peek(id) ?? this.#others.peek(id) ?? {};
    return last !== undefined &&
      (failedAtMs !== undefined || this.#clock.monotonicMs() - last.knownAtMs < KNOWN_MS);
  }

  /** A newer one exists. What was known is known to be wrong, and not what anybody goes on with. */
  outdated(id: string): void {
    this.#there.delete(id);
    this.#others.delete(id);
  }

  #find(id: string): Entry<T> | undefined {
    return this.#there.get(id) ?? this.#others.get(id);
  }

  /** Where it belongs, unless it was driven out or outdated meanwhile. */
  #sort(id: string, entry: Entry<T>): void {
    const [from, to] = entry.last?.document ? [this.#others, this.#there] : [this.#there, this.#others];
    if (from.peek(id) !== entry) return;
    from.delete(id);
    to.set(id, entry);
  }

  #ask(id: string, entry: Entry<T>): Promise<T | undefined> {
    const knownAtMs = this.#clock.monotonicMs();
    const flight = this.#read(id).then((document) => {
      entry.last = { document, knownAtMs };
      delete entry.failedAtMs;
      this.#sort(id, entry);
      return document;
    }, (error: unknown) => {
      if (!isAtollError(error, "no-quorum")) {
        delete entry.last;
        throw error;
      }
      entry.failedAtMs = this.#clock.monotonicMs();
      if (!entry.last) throw error;
      return entry.last.document;
    }).finally(() => delete entry.flight);
    flight.catch(() => {}); // met by whoever waits for it, if anybody does
    entry.flight = flight;
    return flight;
  }
}
