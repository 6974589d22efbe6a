/** In which registers two replicas of a slot differ, found while both lists go by: neither is ever held as a whole. */
import { type Ballot, NO_BALLOT, sameBallot } from "../../core/ballot.ts";
import { compareUtf8, type Name } from "../../core/names.ts";
import { AtollError } from "../../errors.ts";
import type { PeerReply, RegisterRow } from "../../ports.ts";

/** Of one slot: a peer that never comes to an end is not followed for ever. */
const PAGES_MAX = 10_000;

interface Entry {
  readonly name: Name;
  readonly accepted: Ballot;
}

/** Both in order of name. A register that one of them lacks and the other has never accepted anything for is no difference. */
export async function* differences(
  ours: AsyncIterator<RegisterRow>,
  theirs: AsyncIterator<Entry>,
): AsyncGenerator<Name> {
  let [own, other] = [await ours.next(), await theirs.next()];
  for (;;) {
    const held = own.done ? undefined : { name: own.value.name, accepted: own.value.state.accepted };
    const told = other.done ? undefined : other.value;
    if (!held && !told) return;
    const order = !held ? 1 : !told ? -1 : compareUtf8(held.name, told.name);
    const [left, right] = [order <= 0 ? held! : undefined, order >= 0 ? told! : undefined];
    if (!sameBallot(left?.accepted ?? NO_BALLOT, right?.accepted ?? NO_BALLOT)) yield (left ?? right)!.name;
    if (left) own = await ours.next();
    if (right) other = await theirs.next();
  }
}

/** A peer's list, page by page; one that goes back, or does not end, is garbage. */
export async function* entriesOf(
  ask: (after: Name) => Promise<Extract<PeerReply, { type: "slot-entries" }>>,
): AsyncGenerator<Entry> {
  let last: Name = "";
  let after: Name | undefined = "";
  for (let pages = 0; after !== undefined; pages++) {
    if (pages === PAGES_MAX) {
      throw new AtollError("peer-garbage", `wanted a slot of at most ${PAGES_MAX} pages`);
    }
    const { entries, next }: Extract<PeerReply, { type: "slot-entries" }> = await ask(after);
    for (const entry of entries) {
      if (compareUtf8(entry.name, last) <= 0) throw disorder();
      last = entry.name;
      yield entry;
    }
    if (next !== undefined && compareUtf8(next, after) <= 0) throw disorder();
    // Rows without a value are not listed, and may be the page's last.
    if (next !== undefined && compareUtf8(next, last) > 0) last = next;
    after = next;
  }
}

function disorder(): AtollError {
  return new AtollError("peer-garbage", "wanted a slot's registers in order of name");
}
