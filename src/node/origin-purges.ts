/** Purging what is kept of an origin: those who read it next have it asked about, or fetched anew. */
import type { RequestDirectives } from "../core/freshness.ts";
import { type Name, objectName, splitName } from "../core/names.ts";
import { ageOf } from "../core/origin-answer.ts";
import { tagsOf } from "../core/purge.ts";
import type { Clock } from "../ports.ts";
import { forEach } from "./background.ts";
import { KeyedQueue } from "./keyed-queue.ts";
import type { Listings } from "./list-objects.ts";
import { type Copies, copiesOf, type Copy, otherCopiesOf } from "./origin-copies.ts";

const AT_ONCE = 16;
const PAGE = 1_000;
/** What memory says may be older than what is to be forgotten. */
const CURRENT: RequestDirectives = { noCache: true, onlyIfCached: false };

export interface CopyPurge {
  readonly bucket: string;
  readonly keys: readonly string[];
  readonly prefix?: string | undefined;
  readonly tags: readonly string[];
  /** As if their time had just run out; those that vary go all the same. */
  readonly soft: boolean;
  readonly trace?: string | undefined;
}

export class OriginPurges {
  readonly #deps: { copies: Copies; listings: Listings; clock: Clock };

  constructor(deps: { copies: Copies; listings: Listings; clock: Clock }) {
    this.#deps = deps;
  }

  /** How many keys something was kept of. Rejects with `no-quorum` when not all could be: it may be done again. */
  async purge(what: CopyPurge): Promise<number> {
    const { prefix, tags } = what;
    let purged = 0;
    const each = async (key: string, only?: (copy: Copy) => boolean): Promise<void> => {
      if (await this.#one(what, key, only)) purged++;
    };
    await forEach(what.keys, AT_ONCE, each);
    const variants = new KeyedQueue();
    const isTagged = ({ headers }: Copy) => tagsOf({ headers }).some((tag) => tags.includes(tag));
    if (tags.length > 0) {
      await this.#all(what, objectName(copiesOf(what.bucket), ""), async (name) => {
        const { key } = splitName(name);
        await each(key, (copy) => (prefix !== undefined && key.startsWith(prefix)) || isTagged(copy));
      });
      // With a primary that bears none of them: a key's variants go together, by whichever of them it was named.
      await this.#all(what, otherCopiesOf(what.bucket), async (name) => {
        const other = await this.#deps.copies.at(name, CURRENT, what.trace);
        if (!other || !isTagged(other)) return;
        const { key } = splitName(name);
        // One after the other: of several that bear it only the first finds something to forget.
        await variants.run(key, () => each(key, ({ notes }) => notes.era === other.notes.era));
      });
    } else if (prefix !== undefined) {
      const prefixed = objectName(copiesOf(what.bucket), prefix);
      await this.#all(what, prefixed, (name) => each(splitName(name).key));
    }
    return purged;
  }

  async #all(
    { trace }: CopyPurge,
    prefix: Name,
    work: (name: Name) => Promise<void>,
  ): Promise<void> {
    const { listings } = this.#deps;
    let after: Name | null = "";
    while (after !== null) {
      const page: Awaited<ReturnType<Listings["list"]>> = await listings.list({
        prefix,
        after,
        limit: PAGE,
        ofRing: true,
        trace,
      });
      await forEach(page.objects, AT_ONCE, ({ name }) => work(name));
      after = page.next;
    }
  }

  async #one(
    { bucket, soft, trace }: CopyPurge,
    key: string,
    only: (copy: Copy) => boolean = () => true,
  ): Promise<boolean> {
    const { copies, clock } = this.#deps;
    const primary = await copies.at(objectName(copiesOf(bucket), key), CURRENT, trace);
    if (!primary || !only(primary)) return false;
    const { notes, headers, policy } = primary;
    if (!soft || Object.keys(notes.vary).length > 0) {
      await copies.drop(bucket, key, trace);
      return true;
    }
    const receivedMs = clock.wallMs();
    const ageMs = Math.max(ageOf(notes, receivedMs), 1000 * (policy.freshSeconds ?? 0));
    const aged = await copies.amend(primary, headers, { ...notes, receivedMs, ageMs }, trace);
    // What could not be marked, or is another by now, goes.
    if (aged.object.version === primary.object.version) await copies.drop(bucket, key, trace);
    return true;
  }
}
