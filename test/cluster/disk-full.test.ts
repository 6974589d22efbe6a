/** A disk that is full: 507, nothing broken, and writes again as soon as there is room. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { ask, codeOf, metricOf, put } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const MIB = 1 << 20;
const DISK_BYTES = 48 * MIB;
const BALLAST_BYTES = 12 * MIB;

const MEND_MS = 60_000;

const mountPoint = mkdtempSync(join(tmpdir(), "atoll-full-"));
const notMounted = mountSmallDisk(mountPoint);

after(() => {
  if (notMounted === undefined) execFileSync("umount", [mountPoint]);
  rmSync(mountPoint, { recursive: true });
});

/** Why there is no small disk, if there is none. */
function mountSmallDisk(at: string): string | undefined {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "atoll-test", at], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `mounting a tmpfs needs root: ${error instanceof Error ? error.message.trim() : String(error)}`;
  }
}

test(
  "a full disk is 507 storage-full; reads go on, and with room writes do",
  { skip: notMounted ?? false },
  async () => {
    const ballast = join(mountPoint, "ballast");
    writeFileSync(ballast, randomBytes(BALLAST_BYTES));
    mkdirSync(join(mountPoint, "data"));
    await using node = await startNode({
      runtime: HERE,
      dataDir: join(mountPoint, "data"),
      // What is read must come from the disk, and the cache must not be what fills it.
      env: { ATOLL_MEMORY_CACHE_BYTES: "0", ATOLL_DISK_CACHE_BYTES: "0" },
    });
    const stored = new Map<string, Buffer>();
    const store = async (target: string, content: Buffer) => {
      const reply = await put(node.publicUrl + target, content);
      if (reply.status === 201 || reply.status === 200) stored.set(target, content);
      else {assert.deepEqual(
          [reply.status, codeOf(reply)],
          [507, "storage-full"],
          `${target}: ${reply.body.toString()}`,
        );}
      return reply.status;
    };
    const readAll = async (when: string) => {
      for (const [target, content] of stored) {
        const { status, body } = await ask(node.publicUrl + target);
        assert.ok(status === 200 && body.equals(content), `${when}: ${target} ${status}`);
      }
    };

    // Large ones first, and then ever smaller ones into what is left, until not even a row fits.
    for (const sizeBytes of [2 * MIB, 300_000, 60_000, 4_000]) {
      let n = 0;
      while (await store(`/full/${sizeBytes}-${n}`, randomBytes(sizeBytes)) === 201) {
        assert.ok(++n * sizeBytes < DISK_BYTES, "wanted 507, got more onto the disk than it holds");
      }
      if (sizeBytes > MIB) assert.ok(n >= 5, `only ${n} fitted`);
      await readAll(`full at ${sizeBytes}`);
    }
    const [overwritten] = stored.keys();
    await store(overwritten!, randomBytes(3 * MIB));
    await readAll("an overwrite was refused");
    assert.equal((await ask(`${node.publicUrl}/livez`)).status, 200);
    assert.equal(await metricOf(node.publicUrl, "atoll_chunks_corrupt_total"), 0);

    // A deletion is a write too: it happens, or it is refused and the object stays whole.
    const deletion = await ask(node.publicUrl + overwritten!, { method: "DELETE" });
    if (deletion.status === 204) stored.delete(overwritten!);
    else assert.deepEqual([deletion.status, codeOf(deletion)], [507, "storage-full"]);
    if (deletion.status === 204) assert.equal((await ask(node.publicUrl + overwritten!)).status, 404);
    await readAll("after a deletion");

    rmSync(ballast);
    for (const sizeBytes of [4_000, 60_000, 300_000, 2 * MIB]) {
      assert.equal(
        await store(`/again/${sizeBytes}`, randomBytes(sizeBytes)),
        201,
        `${sizeBytes} bytes with room again`,
      );
    }
    await readAll("with room again");
    assert.deepEqual(await node.kill("SIGTERM"), { code: 0, signal: null });
    await using again = await startNode({ runtime: HERE, dataDir: join(mountPoint, "data") });
    for (const [target, content] of stored) {
      assert.ok((await ask(again.publicUrl + target)).body.equals(content), `${target} after a restart`);
    }
  },
);

test(
  "one full disk of three hinders no write, and with room it gets what it missed",
  { skip: notMounted ?? false },
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "atoll-full-ring-"));
    const small = join(directory, "c");
    mkdirSync(small);
    assert.equal(mountSmallDisk(small), undefined);
    try {
      await using ring = await startRing({
        directory,
        runtimes: [HERE, THERE, HERE],
        env: { ATOLL_MEMORY_CACHE_BYTES: "0", ATOLL_COMPARE_INTERVAL: "2s" },
      });
      const [first, second, full] = ring.nodes as [AtollProcess, AtollProcess, AtollProcess];
      const ballast = join(small, "ballast");
      writeFileSync(ballast, randomBytes(BALLAST_BYTES));
      const stored = new Map<string, Buffer>();
      const store = async (node: AtollProcess) => {
        const target = `/full/ring-${stored.size}`;
        const content = randomBytes(1.5 * MIB);
        const { status, body } = await put(node.publicUrl + target, content);
        assert.equal(status, 201, body.toString());
        stored.set(target, content);
      };
      const readAll = async (nodes: readonly AtollProcess[], when: string) => {
        for (const node of nodes) {
          for (const [target, content] of stored) {
            const { status, body } = await ask(node.publicUrl + target);
            assert.ok(
              status === 200 && body.equals(content),
              `${when}: ${target} at ${node.publicUrl}: ${status}`,
            );
          }
        }
      };
      const freeBytes = () => {
        const { bavail, bsize } = statfsSync(small);
        return bavail * bsize;
      };
      while (freeBytes() > 2 * MIB) await store(stored.size % 2 === 0 ? first : second);
      for (let n = 0; n < 4; n++) await store(n % 2 === 0 ? first : second);
      const lacking = async () => {
        const counts = await Promise.all([
          metricOf(first.publicUrl, "atoll_hints_owed"),
          metricOf(second.publicUrl, "atoll_hints_owed"),
          metricOf(full.publicUrl, "atoll_objects_incomplete"),
        ]);
        return counts.reduce((sum, count) => sum + count, 0);
      };
      await until("the full one lacks something", MEND_MS, async () => await lacking() > 0, full.lines);
      await readAll([first, second, full], "full");
      rmSync(ballast);
      const lines = ring.nodes.flatMap((node) => node.lines.slice(-6));
      await until("the full one has all", MEND_MS, async () => await lacking() === 0, lines);
      await second.kill("SIGKILL");
      await readAll([first, full], "a majority only with the one that was full");
    } finally {
      execFileSync("umount", [small]);
      rmSync(directory, { recursive: true });
    }
  },
);
