/** What a replica tells of its registers, from a real catalog in which some rows are damaged. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { openSqliteCatalog } from "../../../src/adapters/sqlite-catalog.ts";
import type { Name } from "../../../src/core/names.ts";
import { compareUtf8 } from "../../../src/core/names.ts";
import { partitionOf, slotOf } from "../../../src/core/partitions.ts";
import { EMPTY_ACCEPTOR, NO_FLOOR } from "../../../src/core/register.ts";
import { isAtollError } from "../../../src/errors.ts";
import { closeBefore, statesPage, statesPages } from "../../../src/node/repair/slot-rows.ts";
import { temporaryDirectory } from "../../helpers/temporary-directory.ts";

const PARTITION = 7;
const ROWS = 200;
const replica = { floorOf: () => NO_FLOOR };

/** In the order in which they are told. */
function namesOfPartition(): Name[] {
  const names: Name[] = [];
  for (let n = 0; names.length < ROWS; n++) {
    const name = `bucket\0é${n}\u{1f600}`;
    if (partitionOf(name) === PARTITION) names.push(name);
  }
  return names.sort((a, b) => slotOf(a) - slotOf(b) || compareUtf8(a, b));
}

test("a page ends before a damaged row, and whoever asks for another register gets past it", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "catalog.db");
  const names = namesOfPartition();
  const state = { ...EMPTY_ACCEPTOR, promised: { counter: 1, node: "n" } };
  const first = await openSqliteCatalog({ path });
  await first.commit({ registers: names.map((name) => ({ name, state })) });
  await first.close();
  const damaged = [0, 100, 101, ROWS - 1].map((at) => names[at]!);
  const database = new DatabaseSync(path);
  const change = database.prepare(
    "UPDATE registers SET promised_counter = promised_counter + 1 WHERE name = ?",
  );
  for (const name of damaged) change.run(new TextEncoder().encode(name));
  database.close();
  const catalog = await openSqliteCatalog({ path });
  // One that looked wrong elsewhere is not told of either, whatever is read here.
  const known = names[150]!;
  const damagedIn = (): Name[] => [known];

  for (const name of names) {
    const from = { slot: slotOf(name), after: closeBefore(name) };
    const asked = statesPage(catalog, replica, { partitions: [PARTITION], from }, damagedIn);
    if (name === known || damaged.includes(name)) {
      await assert.rejects(asked, (error) => isAtollError(error, "damaged"), name);
    } else assert.equal((await asked).rows[0]?.name, name);
  }

  const told: Name[] = [];
  const all = (async () => {
    const from = { slot: slotOf(names[0]!), after: names[0]! };
    const ask = async (request: Parameters<typeof statesPage>[2]) =>
      ({ type: "slot-states", ...await statesPage(catalog, replica, request, damagedIn) }) as const;
    for await (const page of statesPages(ask, [PARTITION], from)) {
      told.push(...page.rows.map(({ name }) => name));
    }
  })();
  await assert.rejects(all, (error) => isAtollError(error, "damaged"));
  assert.deepEqual(told, names.slice(1, 100));
  await catalog.close();
});

test("next to nothing lies close before a name", () => {
  for (
    const [name, before] of [["b\0abc", "b\0abb\u{10ffff}"], ["b\0a\0", "b\0a"], [
      "b\0\ue000",
      "b\0\ud7ff\u{10ffff}",
    ]]
  ) {
    assert.equal(closeBefore(name!), before);
    assert.ok(compareUtf8(before!, name!) < 0);
  }
});
