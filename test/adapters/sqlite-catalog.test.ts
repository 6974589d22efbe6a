import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { CatalogThread } from "../../src/adapters/catalog-thread.ts";
import { openSqliteCatalog } from "../../src/adapters/sqlite-catalog.ts";
import { slotOf } from "../../src/core/partitions.ts";
import { DamagedRegister, isAtollError } from "../../src/errors.ts";
import { catalogConformance, catalogDurability, row } from "../conformance/catalog.ts";
import { flip } from "../helpers/catalog-file.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";
import { startChild } from "./children/child.ts";

async function opened() {
  const directory = temporaryDirectory();
  const path = join(directory.path, "catalog.db");
  let catalog = await openSqliteCatalog({ path });
  return {
    catalog,
    async reopen() {
      await catalog.close();
      return catalog = await openSqliteCatalog({ path });
    },
    async close() {
      await catalog.close();
      directory[Symbol.dispose]();
    },
  };
}

catalogConformance("SqliteCatalog", opened);
catalogDurability("SqliteCatalog", opened);

function withDatabase(path: string, use: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(path);
  try {
    use(database);
  } finally {
    database.close();
  }
}

test("SqliteCatalog rejects with storage-full what has no room, whole, and keeps what has", async () => {
  using directory = temporaryDirectory();
  const catalog = await openSqliteCatalog({ path: join(directory.path, "catalog.db"), maxBytes: 400_000 });
  const chunk = (digit: string, sizeBytes: number) => ({
    id: digit.repeat(64),
    bytes: new Uint8Array(sizeBytes),
  });
  const large = catalog.commit({ registers: [row("b\0large", 1)], chunks: [chunk("a", 1_000_000)] });
  const small = Array.from(
    { length: 5 },
    (_, index) => catalog.commit({ registers: [row(`b\0small-${index}`, 1)] }),
  );
  await assert.rejects(large, (error) => isAtollError(error, "storage-full"));
  await Promise.all(small);
  assert.equal(await catalog.register("b\0large"), undefined);
  assert.equal((await catalog.scan({ prefix: "b\0small", after: "", limit: 10 })).length, 5);
  await catalog.deleteChunk("b".repeat(64));
  await catalog.commit({ chunks: [chunk("c", 10_000)] });
  await catalog.close();
});

test("SqliteCatalog takes over a catalog of version 1, every slot of which is yet to be digested", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "catalog.db");
  const rows = [row("b\0one", 1), row("c\0ü😀", 2)];
  const first = await openSqliteCatalog({ path });
  await first.commit({ registers: rows });
  await first.close();
  withDatabase(path, (database) =>
    database.exec(`
      DROP INDEX registers_slot; DROP TABLE owed; DROP TABLE slots; DROP TABLE floors;
      ALTER TABLE registers DROP COLUMN slot; ALTER TABLE documents DROP COLUMN checksum; PRAGMA user_version = 1;`));
  for (const life of ["the one that takes it over", "the next"]) {
    const catalog = await openSqliteCatalog({ path });
    assert.deepEqual(await catalog.scan({ prefix: "", after: "", limit: 9 }), rows, life);
    const slots = (await catalog.changedSlots(9)).map(({ slot }) => slot);
    assert.deepEqual(new Set(slots), new Set(rows.map(({ name }) => slotOf(name))), life);
    for (const one of rows) assert.deepEqual(await catalog.slotRows(slotOf(one.name), "", 9), [one], life);
    await catalog.close();
  }
});

test("SqliteCatalog takes over a catalog of version 2, and checks its documents from then on", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "catalog.db");
  const first = await openSqliteCatalog({ path });
  await first.commit({ registers: [row("b\0k", 1)], documents: [{ key: "layout", text: "old text" }] });
  await first.close();
  withDatabase(
    path,
    (database) => database.exec("ALTER TABLE documents DROP COLUMN checksum; PRAGMA user_version = 2;"),
  );
  const second = await openSqliteCatalog({ path });
  assert.equal(await second.document("layout"), "old text");
  assert.deepEqual(await second.register("b\0k"), row("b\0k", 1).state);
  await second.close();
  flip(path, "documents", "old text", 3);
  const third = await openSqliteCatalog({ path });
  await assert.rejects(third.document("layout"), (error) => isAtollError(error, "damaged"));
  await third.close();
});

test("SqliteCatalog names a document that is damaged, also one that cannot be found for it", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "catalog.db");
  const keep = async (text: string) => {
    const catalog = await openSqliteCatalog({ path });
    await catalog.commit({ documents: [{ key: "decree", text }] });
    await catalog.close();
  };
  const isNamed = (key: string) => (error: unknown) =>
    isAtollError(error, "damaged") && error.message.includes(JSON.stringify(key));
  for (const [at, named] of [[0, "eecree"], ["decree".length + 2, "decree"]] as const) {
    await keep("the votes");
    flip(path, "documents", "decreethe votes", at);
    const catalog = await openSqliteCatalog({ path });
    await assert.rejects(catalog.document("decree"), isNamed(named));
    await assert.rejects(
      catalog.document("layout"),
      isNamed(named),
      "another may be the one that was damaged",
    );
    await catalog.commit({ documents: [{ key: named, text: "again" }] });
    assert.equal(await catalog.document(named), "again");
    await catalog.close();
    withDatabase(path, (database) => database.exec("DELETE FROM documents"));
  }
  await keep("not checked");
  withDatabase(path, (database) => database.exec("UPDATE documents SET checksum = NULL"));
  const catalog = await openSqliteCatalog({ path });
  assert.equal(await catalog.document("decree"), "not checked");
  assert.equal(await catalog.document("layout"), undefined);
  await catalog.close();
});

test("SqliteCatalog refuses a catalog of a newer version", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "catalog.db");
  await (await openSqliteCatalog({ path })).close();
  withDatabase(path, (database) => database.exec("PRAGMA user_version = 9"));
  await assert.rejects(
    openSqliteCatalog({ path }),
    (error) => isAtollError(error, "data-dir") && /version 9/.test(error.message),
  );
});

test("SqliteCatalog refuses a file that is no catalog", async () => {
  using directory = temporaryDirectory();
  const [text, foreign] = ["text.db", "foreign.db"].map((name) => join(directory.path, name));
  await writeFile(text!, "This is not a database.\n".repeat(100));
  withDatabase(foreign!, (database) => database.exec("CREATE TABLE songs (title TEXT)"));
  const missing = join(directory.path, "no", "such", "directory.db");
  for (const path of [text!, foreign!, missing]) {
    await assert.rejects(openSqliteCatalog({ path }), (error) => isAtollError(error, "data-dir"), path);
  }
});

test("SqliteCatalog names the register whose row is damaged, and serves the others", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "catalog.db");
  const first = await openSqliteCatalog({ path });
  await first.commit({ registers: ["value", "ballot", "whole"].map((key) => row(`b\0${key}`, 5)) });
  await first.close();
  withDatabase(path, (database) => {
    const change = (cell: string, key: string) =>
      database.prepare(`UPDATE registers SET ${cell} WHERE name = ?`).run(
        new TextEncoder().encode(`b\0${key}`),
      );
    change("value = replace(value, '\"size\":5', '\"size\":4')", "value");
    change("promised_counter = promised_counter + 1", "ballot");
  });
  const catalog = await openSqliteCatalog({ path });
  for (const key of ["value", "ballot"]) {
    const named = (error: unknown) =>
      error instanceof DamagedRegister && error.register === `b\0${key}` && error.message.includes(key);
    await assert.rejects(catalog.register(`b\0${key}`), named);
  }
  assert.deepEqual(await catalog.register("b\0whole"), row("b\0whole", 5).state);
  await catalog.close();
});

test("CatalogThread rejects what is pending and what comes after when its worker dies", async () => {
  const source = `import { parentPort } from "node:worker_threads";
    parentPort.on("message", () => { throw new Error("struck by lightning"); });`;
  const thread = new CatalogThread(new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`)));
  const struck = (error: unknown) => isAtollError(error, "internal") && /lightning/.test(error.message);
  const pending = [thread.ask("register", { name: "b\0k" }), thread.ask("document", { key: "d" })];
  for (const one of pending) await assert.rejects(one, struck);
  await assert.rejects(thread.ask("document", { key: "d" }), struck);
  await thread.close();
});

for (const acknowledged of [1, 150, 700]) {
  test(`SqliteCatalog has all it acknowledged when killed after ${acknowledged} commits`, async () => {
    using directory = temporaryDirectory();
    await using child = startChild("durable-writer.ts", "catalog", directory.path);
    await child.printed(acknowledged);
    await child.kill();
    const catalog = await openSqliteCatalog({ path: join(directory.path, "catalog.db") });
    const numbers = child.lines().map(Number);
    const states = await Promise.all(numbers.map((number) => catalog.register(`b\0${number}`)));
    for (const [index, state] of states.entries()) {
      assert.equal(state?.accepted.counter, numbers[index], `commit ${numbers[index]} of ${numbers.length}`);
    }
    await catalog.close();
  });
}
