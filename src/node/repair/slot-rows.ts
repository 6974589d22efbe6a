/** The registers of one slot, page by page. */
import type { Name } from "../../core/names.ts";
import { slotOf, SLOTS_PER_PARTITION } from "../../core/partitions.ts";
import { type Floor, NO_FLOOR } from "../../core/register.ts";
import { DamagedRegister } from "../../errors.ts";
import type { Catalog, RegisterRow } from "../../ports.ts";

/** Registers of one page: with the longest headers that one may have, an answer of 64 still is one that is read. */
export const SLOT_PAGE_MAX = 64;

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

/** What one node tells another that lost its own: as many slots as one page holds, to the end of the partition. */
export async function statesPage(
  catalog: Catalog,
  replica: { floorOf(slot: number): Floor },
  from: { readonly slot: number; readonly after: Name },
): Promise<{
  rows: RegisterRow[];
  floors: { slot: number; floor: Floor }[];
  next?: { slot: number; after: Name };
}> {
  const end = from.slot - (from.slot % SLOTS_PER_PARTITION) + SLOTS_PER_PARTITION;
  // In one go: most slots are empty, and to ask for each costs more than all that they hold.
  const rows = await catalog.slotRows(from.slot, from.after, SLOT_PAGE_MAX, end);
  const last = rows.length < SLOT_PAGE_MAX ? undefined : rows.at(-1)!;
  const through = last ? slotOf(last.name) : end - 1;
  // After the rows: a register that was forgotten meanwhile has left its floor.
  const floors: { slot: number; floor: Floor }[] = [];
  for (let slot = from.slot; slot <= through; slot++) {
    const floor = replica.floorOf(slot);
    if (floor !== NO_FLOOR) floors.push({ slot, floor });
  }
  return { rows, floors, ...(last && { next: { slot: through, after: last.name } }) };
}
