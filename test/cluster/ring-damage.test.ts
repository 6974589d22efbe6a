/** What disks do to chunks and rows: never served nor taken for absence, fetched from a replica, counted. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { flip } from "../helpers/catalog-file.ts";
import { until } from "../helpers/deadline.ts";
import { ask, metricOf, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const MIB = 1 << 20;

let directory: string;
let ring: AtollRing;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-damage-"));
  ring = await startRing({ directory, runtimes: [HERE, THERE, HERE] });
});
after(async () => {
  await ring[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const REGIONS = ["a", "b", "c"] as const;
const idOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const fileOf = (index: number, id: string): string =>
  join(directory, REGIONS[index]!, "chunks", id.slice(0, 2), id.slice(2, 4), id);

/** With the node's memory cold, since it was killed; started anew when `damage` is done. */
async function whileDown(index: number, damage: () => Promise<void>): Promise<string> {
  await ring.nodes[index]!.kill("SIGKILL");
  await damage();
  return (await ring.restart(index)).publicUrl;
}

/** Every replica's, which the acknowledgement did not wait for. */
async function isEverywhere(id: string): Promise<void> {
  await until(
    `chunk ${id} is a file at every node`,
    10_000,
    () => REGIONS.every((_, i) => existsSync(fileOf(i, id))),
  );
}

for (const index of [0, 1]) {
  test(`a chunk file with one wrong bit is not served at node ${index}, but replaced from another`, async () => {
    const content = randomBytes(200_000);
    const target = `/damage/file-${index}`;
    await put(ring.nodes[2]!.publicUrl + target, content);
    const id = idOf(content);
    await isEverywhere(id);
    const url = await whileDown(index, async () => {
      const bytes = await readFile(fileOf(index, id));
      bytes[123_456]! ^= 1;
      await writeFile(fileOf(index, id), bytes);
    });
    const got = await ask(url + target);
    assert.equal(got.status, 200);
    assert.ok(got.body.equals(content), "a wrong byte was served");
    assert.match(got.headers["cache-status"] ?? "", /chunk from/);
    assert.equal(await metricOf(url, "atoll_chunks_corrupt_total"), 1);
    assert.equal(await metricOf(url, "atoll_chunks_repaired_total"), 1);
    assert.ok(
      (await readFile(fileOf(index, id))).subarray(0, content.length).equals(content),
      "on disk it is good again",
    );
    const kept = await readdir(join(directory, REGIONS[index]!, "quarantine"));
    assert.equal(kept.length, 1, "the wrong file is kept for whoever wants to look");
    assert.ok(kept[0]!.endsWith(id));
  });
}

test("a small chunk in the catalog with one wrong bit is not served, but replaced from another", async () => {
  const content = randomBytes(10_000);
  await put(`${ring.nodes[2]!.publicUrl}/damage/row`, content);
  const id = Buffer.from(idOf(content), "hex");
  const inCatalog = (
    use: (rows: { read(): Uint8Array | undefined; write(bytes: Uint8Array): void }) => void,
  ) => {
    using database = new DatabaseSync(join(directory, "a", "catalog.db"));
    use({
      read: () =>
        database.prepare("SELECT bytes FROM chunks WHERE id = ?").get(id)?.["bytes"] as
          | Uint8Array
          | undefined,
      write: (bytes) => void database.prepare("UPDATE chunks SET bytes = ? WHERE id = ?").run(bytes, id),
    });
  };
  // The third replica's copy may come after the acknowledgement.
  await until("the row is there", 5_000, () => {
    let isThere = false;
    inCatalog(({ read }) => (isThere = read() !== undefined));
    return isThere;
  });
  const url = await whileDown(0, async () => {
    inCatalog(({ read, write }) => {
      const bytes = Buffer.from(read()!);
      bytes[5_000]! ^= 1;
      write(bytes);
    });
  });
  const got = await ask(`${url}/damage/row`);
  assert.ok(got.status === 200 && got.body.equals(content), "a wrong byte was served");
  assert.equal(await metricOf(url, "atoll_chunks_corrupt_total"), 1);
  assert.equal(await metricOf(url, "atoll_chunks_repaired_total"), 1);
  await ring.nodes[0]!.kill("SIGKILL");
  inCatalog(({ read }) => assert.deepEqual(Buffer.from(read()!), content, "on disk it is good again"));
  await ring.restart(0);
});

test("chunk files that were lost are fetched from a replica, and put back where they belong", async () => {
  const content = randomBytes(2 * MIB);
  await put(`${ring.nodes[0]!.publicUrl}/damage/lost`, content);
  const ids = [content.subarray(0, MIB), content.subarray(MIB)].map(idOf);
  for (const id of ids) await isEverywhere(id);
  const url = await whileDown(1, async () => {
    for (const id of ids) await rm(fileOf(1, id));
  });
  assert.ok((await ask(`${url}/damage/lost`)).body.equals(content));
  for (const id of ids) assert.ok(existsSync(fileOf(1, id)), "fetched, and not kept");
});

test("a replica that was down while an object was written fetches the chunks it lacks in the background", async () => {
  const content = randomBytes(3 * MIB);
  const ids = [0, 1, 2].map((i) => idOf(content.subarray(i * MIB, (i + 1) * MIB)));
  const url = await whileDown(2, async () => {
    assert.equal((await put(`${ring.nodes[0]!.publicUrl}/damage/missed`, content)).status, 201);
  });
  // HEAD tells it of the manifest, and reads no bytes.
  const head = await ask(`${url}/damage/missed`, { method: "HEAD" });
  assert.deepEqual([head.status, head.headers["content-length"]], [200, String(content.length)]);
  const hasAll = () => ids.every((id) => existsSync(fileOf(2, id)));
  await until("it has all the chunks", 15_000, hasAll, ring.nodes[2]!.lines);
  const isDone = async () => await metricOf(url, "atoll_objects_incomplete") === 0;
  await until("nothing is incomplete", 5_000, isDone, ring.nodes[2]!.lines);
  assert.ok(await metricOf(url, "atoll_objects_completed_total") >= 1);
});

test("a row whose name has one wrong bit is not taken for absence, by those who have only it to go by", async () => {
  const target = "/damage/name";
  const [first, second, third] = [0, 1, 2];
  const urlOf = (index: number): string => ring.nodes[index]!.publicUrl;
  await ring.nodes[third]!.kill("SIGKILL");
  assert.equal((await put(urlOf(second) + target, "acknowledged")).status, 201);
  await ring.nodes[first]!.kill("SIGKILL");
  // Who knows what the third one missed is away when that comes back.
  await ring.nodes[second]!.kill("SIGKILL");
  flip(join(directory, "a", "catalog.db"), "registers", "damage\0name", 8);
  await Promise.all([ring.restart(first), ring.restart(third)]);
  for (const index of [third, first]) {
    for (const asked of [`/damage?prefix=name`, target]) {
      const { status, body } = await ask(urlOf(index) + asked);
      assert.equal(status, 503, `node ${index} of ${asked}: ${body.toString()}`);
    }
  }
  await ring.restart(second);
  for (const index of [first, second, third]) {
    await until(`node ${index} has it again`, 30_000, async () => {
      const { status, body } = await ask(urlOf(index) + target);
      assert.notEqual(status, 404, `node ${index}`);
      return status === 200 && body.toString() === "acknowledged";
    }, ring.nodes[index]!.lines);
  }
  const { lines } = ring.nodes[first]!;
  const isMended = async () => await metricOf(urlOf(first), "atoll_registers_damaged") === 0;
  await until("the damaged row was fetched anew", 30_000, isMended, lines);
  assert.ok(lines.some((line) => line.includes("contradicted each other")), "it is in the log");
  await ring.nodes[first]!.kill("SIGKILL");
  using database = new DatabaseSync(join(directory, "a", "catalog.db"));
  const row = database.prepare("SELECT value FROM registers WHERE name = ?").get(Buffer.from("damage\0name"));
  assert.match(String(row?.["value"]), /"version":1,/);
});
