/** Purging what is kept of an origin: those who read it next have it asked about, or fetched anew. */
import { type Name, objectName, splitName } from "../core/names.ts";
import { ageOf } from "../core/origin-answer.ts";
import { tagsOf } from "../core/purge.ts";
import type { Clock } from "../ports.ts";
import { forEach } from "./background.ts";
import type { Listings } from "./list-objects.ts";
import { type Copies, copiesOf, type Copy } from "./origin-copies.ts";

const AT_ONCE = 16;
const PAGE = 1_000;

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
    if (tags.length > 0) {
      await this.#all(
        what,
        "",
        (key) =>
          each(
            key,
            ({ headers }) =>
              (prefix !== undefined && key.startsWith(prefix)) ||
              tagsOf({ headers }).some((tag) => tags.includes(tag)),
          ),
      );
    } else if (prefix !== undefined) await this.#all(what, prefix, (key) => each(key));
    return purged;
  }

  async #all(
    { bucket, trace }: CopyPurge,
    prefix: string,
    work: (key: string) => Promise<void>,
  ): Promise<void> {
    const { listings } = this.#deps;
    let after: Name | null = "";
    while (after !== null) {
      const page: Awaited<ReturnType<Listings["list"]>> = await listings.list({
        prefix: objectName(copiesOf(bucket), prefix),
        after,
        limit: PAGE,
        ofRing: true,
        trace,
      });
      await forEach(page.objects, AT_ONCE, ({ name }) => work(splitName(name).key));
      after = page.next;
    }
  }

  async #one(
    { bucket, soft, trace }: CopyPurge,
    key: string,
    only: (copy: Copy) => boolean = () => true,
  ): Promise<boolean> {
    const { copies, clock } = this.#deps;
    const { primary } = await copies.find(bucket, key, {}, trace);
    if (!primary || !only(primary)) return false;
    const { notes, headers, policy } = primary;
    if (!soft || Object.keys(notes.vary).length > 0) {
      await copies.drop(bucket, key, trace);
      return true;
    }
    const receivedMs = clock.wallMs();
    const ageMs = Math.max(ageOf(notes, receivedMs), 1000 * (policy.freshSeconds ?? 0));
    await copies.amend(primary, headers, { ...notes, receivedMs, ageMs }, trace);
    return true;
  }
}
