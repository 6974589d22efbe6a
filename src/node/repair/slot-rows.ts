/** The registers of slots, page by page: here, and as another node tells of them. */
import { compareUtf8, type Name } from "../../core/names.ts";
import { slotOf, SLOTS_PER_PARTITION } from "../../core/partitions.ts";
import { type Floor, NO_FLOOR } from "../../core/register.ts";
import { AtollError, DamagedRegister } from "../../errors.ts";
import type { Catalog, PeerRequest, RegisterRow, ReplyTo } from "../../ports.ts";

/** Registers of one page: with the longest headers that one may have, an answer of 64 still is one that is read. */
export const SLOT_PAGE_MAX = 64;
const PARTITIONS_TOGETHER_MAX = 64;
const FLOORS_PAGE_MAX = 1_024;
/** Of one peer in one go: more is a peer that never comes to an end. */
const PAGES_MAX = 100_000;

/** `next`: the name to go on after; undefined at the end. */
export async function slotPage(
  catalog: Catalog,
  slot: number,
  after: Name,
): Promise<{ rows: readonly RegisterRow[]; next: Name | undefined }> {
  const rows = await catalog.slotRows(slot, after, SLOT_PAGE_MAX);
  return { rows, next: rows.length < SLOT_PAGE_MAX ? undefined : rows.at(-1)?.name };
}

export async function* slotRows(catalog: Catalog, slot: number): AsyncGenerator<RegisterRow> {
  let after: Name | undefined = "";
  while (after !== undefined) {
    const page: Awaited<ReturnType<typeof slotPage>> = await slotPage(catalog, slot, after);
    yield* page.rows;
    after = page.next;
  }
}

/**
 * The names of all registers of a partition that lie here, also of those whose rows cannot be believed: such a one must
 * have been written anew or given up before the next name is asked for.
 */
export async function* partitionNames(catalog: Catalog, partition: number): AsyncGenerator<Name> {
  const end = (partition + 1) * SLOTS_PER_PARTITION;
  let [slot, after] = [partition * SLOTS_PER_PARTITION, ""];
  for (;;) {
    const rows = await catalog.slotRows(slot, after, SLOT_PAGE_MAX, end).catch(damagedOf);
    if (typeof rows === "string") {
      yield rows;
      continue;
    }
    yield* rows.map(({ name }) => name);
    const last = rows.at(-1);
    if (!last || rows.length < SLOT_PAGE_MAX) return;
    [slot, after] = [slotOf(last.name), last.name];
  }
}

function damagedOf(error: unknown): Name {
  if (error instanceof DamagedRegister) return error.register;
  throw error;
}

type SlotStates = Extract<PeerRequest, { type: "slot-states" }>;

/**
 * What one node tells another that lost its own: as much of these partitions, in this order, as one page holds. It ends
 * before a register that cannot be told of: one whose row is damaged, or is known to be by `damagedIn`. Throws `damaged`
 * where such a one would be the first, so that whoever asks for all never takes a part for it.
 */
export async function statesPage(
  catalog: Catalog,
  replica: { floorOf(slot: number): Floor },
  { partitions, from }: Pick<SlotStates, "partitions" | "from">,
  damagedIn: (partition: number) => readonly Name[] = () => [],
): Promise<Omit<ReplyTo<SlotStates>, "type">> {
  const rows: RegisterRow[] = [];
  const floors: { slot: number; floor: Floor }[] = [];
  const begun = from ? partitions.indexOf(Math.floor(from.slot / SLOTS_PER_PARTITION)) : 0;
  if (begun === -1) {
    throw new AtollError("peer-refused", "wanted a page from a slot of the partitions asked for");
  }
  for (let at = begun; at < partitions.length; at++) {
    const first = partitions[at]! * SLOTS_PER_PARTITION;
    if (floors.length + SLOTS_PER_PARTITION > FLOORS_PAGE_MAX) {
      return { rows, floors, next: { slot: first, after: "" } };
    }
    const start = at === begun && from ? from : { slot: first, after: "" };
    const [end, limit] = [first + SLOTS_PER_PARTITION, SLOT_PAGE_MAX - rows.length];
    const { some, next } = await soundRows(catalog, start, { limit, end }, damagedIn(partitions[at]!));
    rows.push(...some);
    // After the rows: a register that was forgotten meanwhile has left its floor.
    for (let slot = start.slot; slot <= (next?.slot ?? end - 1); slot++) {
      const floor = replica.floorOf(slot);
      if (floor !== NO_FLOOR) floors.push({ slot, floor });
    }
    if (next) return { rows, floors, next };
  }
  return { rows, floors };
}

/**
 * `next`: undefined at the end. In one go: most slots are empty, and to ask for each costs more than all that they hold. Only
 * where something is damaged fewer are read, until they can be. What was read together was so at one moment: where not even
 * one row can be read, nothing else lies before it.
 */
async function soundRows(
  catalog: Catalog,
  start: Place,
  { limit, end }: { limit: number; end: number },
  damaged: readonly Name[],
): Promise<{ some: readonly RegisterRow[]; next: Place | undefined }> {
  for (let few = limit;; few >>= 1) {
    const read = await catalog.slotRows(start.slot, start.after, few, end).catch(damagedOf);
    const met = typeof read === "string" ? read : undefined;
    if (met !== undefined && few > 1) continue;
    const rows = typeof read === "string" ? [] : read;
    const stop = firstAfter(start, met === undefined ? damaged : [...damaged, met], end);
    const some = stop ? rows.filter(({ name }) => comparePlaces(placeOf(name), stop) < 0) : rows;
    const last = some.at(-1);
    if (last && (stop || some.length === few)) return { some, next: placeOf(last.name) };
    const which = stop?.after ?? met;
    if (which === undefined) return { some, next: undefined };
    const next = stop && { slot: stop.slot, after: closeBefore(stop.after) };
    if (next && comparePlaces(next, start) > 0) return { some, next };
    const written = which.replace("\0", "/");
    throw new DamagedRegister(which, `wanted to tell of ${written}, whose row here is damaged`);
  }
}

/** A register lies right after the place before it: slots first, then names. */
type Place = NonNullable<SlotStates["from"]>;

function placeOf(name: Name): Place {
  return { slot: slotOf(name), after: name };
}

export function comparePlaces(a: Place, b: Place): number {
  return a.slot - b.slot || compareUtf8(a.after, b.after);
}

function firstAfter(start: Place, names: readonly Name[], end: number): Place | undefined {
  return names.map(placeOf)
    .filter((place) => place.slot < end && comparePlaces(place, start) > 0)
    .sort(comparePlaces)[0];
}

/**
 * A string before that name with next to nothing between them: who asks for what comes after it is told of that register
 * first, whatever is damaged around it.
 */
export function closeBefore(name: Name): string {
  const points = Array.from(name);
  const last = points.pop()!.codePointAt(0)!;
  if (last === 0) return points.join("");
  // What lies between the planes is half a character.
  const before = last === 0xe000 ? 0xd7ff : last - 1;
  return `${points.join("")}${String.fromCodePoint(before)}\u{10ffff}`;
}

/** All that a node tells of these partitions, from there on, page by page. Fails as `ask` does. */
export async function* statesPages(
  ask: (request: SlotStates) => Promise<ReplyTo<SlotStates>>,
  partitions: readonly number[],
  from?: SlotStates["from"],
): AsyncGenerator<ReplyTo<SlotStates>> {
  let next = from;
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const page = await ask({ type: "slot-states", partitions, ...(next && { from: next }) });
    yield page;
    if (!page.next) return;
    next = page.next;
  }
  throw new AtollError(
    "peer-garbage",
    `wanted ${partitions.length} partitions to end within ${PAGES_MAX} pages`,
  );
}

/** How many partitions are asked for in one question: more where they turn out to hold little, one where they hold much. */
export class QuestionSize {
  #partitions = 1;

  /** In order, each as large as is right when its turn has come. */
  *slices(partitions: readonly number[]): Generator<number[]> {
    for (let at = 0; at < partitions.length;) {
      const slice = partitions.slice(at, at + this.#partitions);
      at += slice.length;
      yield slice;
    }
  }

  /** So many registers were in that many partitions. */
  answered(registers: number, partitions: number): void {
    this.#partitions = registers > SLOT_PAGE_MAX ? 1 : Math.min(PARTITIONS_TOGETHER_MAX, 2 * partitions);
  }
}
