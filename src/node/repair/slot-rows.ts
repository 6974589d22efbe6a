/** The registers of slots, page by page: here, and as another node tells of them. */
import type { Name } from "../../core/names.ts";
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

/** What one node tells another that lost its own: as much of these partitions, in this order, as one page holds. */
export async function statesPage(
  catalog: Catalog,
  replica: { floorOf(slot: number): Floor },
  { partitions, from }: Pick<SlotStates, "partitions" | "from">,
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
    // In one go: most slots are empty, and to ask for each costs more than all that they hold.
    const some = await catalog.slotRows(start.slot, start.after, limit, end);
    rows.push(...some);
    const last = some.length < limit ? undefined : some.at(-1)!;
    const through = last ? slotOf(last.name) : end - 1;
    // After the rows: a register that was forgotten meanwhile has left its floor.
    for (let slot = start.slot; slot <= through; slot++) {
      const floor = replica.floorOf(slot);
      if (floor !== NO_FLOOR) floors.push({ slot, floor });
    }
    if (last) return { rows, floors, next: { slot: through, after: last.name } };
  }
  return { rows, floors };
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
