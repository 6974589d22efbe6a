/** The registers of one slot, page by page. */
import type { Name } from "../../core/names.ts";
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
