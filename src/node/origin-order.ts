/**
 * Which of the answers for a key may be kept. They come in any order: one that was asked for before another does not take
 * that one's place, and none that was asked for before its key was purged is kept at all.
 */
import type { Name } from "../core/names.ts";
import type { CopyNotes, Fields } from "../core/origin-answer.ts";
import { isPurged, type Purge } from "../core/purge.ts";
import type { RegisterValue } from "../core/register.ts";
import { firstCopyOf, keyOfFirstCopy, notesOf, type Place } from "./origin-copies.ts";

/** One question to the origin, until what comes of it is kept or is not. */
export interface Asking {
  /** What clients call what is asked for. */
  readonly name: Name;
  /** One more for each question of this node. */
  readonly number: number;
  /** Of this node's wall clock. */
  readonly begunMs: number;
  /** Of the register of the key's first copy, a tombstone's too; undefined where that was not known. */
  readonly version: number | undefined;
  /** Of the answer, once it has come. */
  answer?: { readonly headers: Fields };
  /** Nothing of it is kept, and nobody who comes now has it. */
  isOff: boolean;
}

interface Key {
  readonly askings: Set<Asking>;
  /** By place: what of this node came there last, as long as others are on their way. */
  readonly kept: Map<Name, { readonly number: number; readonly receivedMs: number }>;
}

export class OriginOrder {
  #count = 0;
  readonly #keys = new Map<Name, Key>();

  begin(name: Name, begunMs: number, version: number | undefined): Asking {
    const asking: Asking = { name, number: ++this.#count, begunMs, version, isOff: false };
    const key = this.#keys.get(name) ?? { askings: new Set(), kept: new Map() };
    key.askings.add(asking);
    this.#keys.set(name, key);
    return asking;
  }

  end(asking: Asking): void {
    const key = this.#keys.get(asking.name);
    key?.askings.delete(asking);
    if (key?.askings.size === 0) this.#keys.delete(asking.name);
  }

  /** Why the answer must not have that place, of which `there` is what lies there now; undefined: it has it. */
  objection(asking: Asking, place: Place, notes: CopyNotes, there: RegisterValue | null): string | undefined {
    const { number, begunMs, version = Infinity } = asking;
    if (asking.isOff) return "its key was purged since it was asked for";
    // By whichever node: those that could not be told of it know it by this.
    if (place.isPrimary && there?.content.kind === "tombstone" && there.version > version) {
      return "what was kept was dropped since it was asked for";
    }
    const { kept } = this.#keys.get(asking.name)!;
    const last = kept.get(place.name);
    if (last && last.number > number) return "the answer to a later question came before it";
    const other = there ? notesOf(there) : undefined;
    // Of another node, whose count is not ours: by when it came, and then by the origin's own clock.
    const isOther = other && other.receivedMs !== last?.receivedMs;
    if (isOther && other.receivedMs > begunMs && other.dateMs > notes.dateMs) {
      return "another node was given a newer one meanwhile";
    }
    kept.set(place.name, { number, receivedMs: notes.receivedMs });
    return undefined;
  }

  /** What lies there is the origin's latest word as of that question, or nothing does. */
  confirmed({ name, number }: Asking, place: Name, receivedMs: number): void {
    const { kept } = this.#keys.get(name)!;
    const last = kept.get(place);
    if (!last || last.number < number) kept.set(place, { number, receivedMs });
  }

  /** Calls off what falls under a purge, which names copies. Those keys it may have been of, as clients name them. */
  callOff(purge: Purge): Set<Name> {
    const off = new Set<Name>();
    for (const copy of purge.names) {
      const name = keyOfFirstCopy(copy);
      if (name === undefined) continue;
      for (const asking of this.#keys.get(name)?.askings ?? []) asking.isOff = true;
      off.add(name); // somebody may be about to ask, by what was there before
    }
    if (purge.prefixes.length === 0 && purge.tagged.length === 0) return off;
    for (const [name, { askings }] of this.#keys) {
      const copy = firstCopyOf(name);
      for (const asking of askings) {
        // Which tags an answer will bear that has not come yet nobody knows.
        const isUnknown = !asking.answer &&
          purge.tagged.some(({ bucket }) => copy.startsWith(`${bucket}\0`));
        if (!isUnknown && !isPurged(purge, copy, asking.answer)) continue;
        asking.isOff = true;
        off.add(name);
      }
    }
    return off;
  }
}
