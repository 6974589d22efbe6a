/** Starts that cannot succeed: one clear line, at once, and not exit code 0. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { flip } from "../helpers/catalog-file.ts";
import { ask } from "../helpers/raw-http.ts";
import { HERE, runAtoll } from "../helpers/raw-start.ts";

let directory: string;
let running: AtollProcess;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-start-"));
  running = await startNode({ runtime: HERE, dataDir: join(directory, "running") });
});
after(async () => {
  await running[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const FREE = { PORT: "0", ATOLL_PEER_PORT: "0" };

/** What is wrong, made so, and what the line must say. */
const CASES: readonly {
  readonly what: string;
  readonly env: () => Promise<Record<string, string>> | Record<string, string>;
  readonly says: RegExp;
}[] = [
  {
    what: "the public port is taken",
    env: () => ({ PORT: new URL(running.publicUrl).port, ATOLL_DATA_DIR: join(directory, "a") }),
    says: /port \d+ on 127\.0\.0\.1 is taken/,
  },
  {
    what: "the peer port is taken",
    env: () => ({ ATOLL_PEER_PORT: new URL(running.peerUrl).port, ATOLL_DATA_DIR: join(directory, "a") }),
    says: /port \d+ on 127\.0\.0\.1 is taken/,
  },
  {
    what: "the host is not this machine's",
    env: () => ({
      ATOLL_HOST: "192.0.2.1",
      ATOLL_INSECURE: "1",
      ATOLL_PEER_HOST: "127.0.0.1",
      ATOLL_DATA_DIR: join(directory, "a"),
    }),
    says: /192\.0\.2\.1 is not an address of this machine/,
  },
  {
    what: "the data directory is in use by a running node",
    env: () => ({ ATOLL_DATA_DIR: join(directory, "running") }),
    says: /running is in use by a running node/,
  },
  {
    what: "a file stands where the data directory should be",
    env: async () => {
      await writeFile(join(directory, "file"), "mine");
      return { ATOLL_DATA_DIR: join(directory, "file") };
    },
    says: /data directory \S+file: wanted a directory/,
  },
  {
    what: "the data directory lies below a file",
    env: async () => {
      await writeFile(join(directory, "above"), "mine");
      return { ATOLL_DATA_DIR: join(directory, "above", "data") };
    },
    says: /data directory \S+above\/data: wanted a directory that can be made/,
  },
  {
    what: "the data directory is of a newer format",
    env: () => holding("newer", "format", "atoll 99\n"),
    says: /format 99: a newer atoll/,
  },
  {
    what: "the data directory is somebody else's",
    env: () => holding("stranger", "thesis.tex", "do not touch"),
    says: /an empty directory or one of atoll's.*thesis\.tex/,
  },
  {
    what: "the catalog is no database",
    env: async () => {
      const env = await holding("torn", "format", "atoll 1\n");
      await writeFile(join(directory, "torn", "catalog.db"), "no database at all".repeat(1_000));
      return env;
    },
    says: /catalog/,
  },
  {
    what: "a document of the catalog is damaged",
    env: async () => {
      const dataDir = join(directory, "rotten");
      await (await startNode({ runtime: HERE, dataDir })).kill("SIGTERM");
      flip(join(dataDir, "catalog.db"), "documents", "layout{", "layout{".length);
      return { ATOLL_DATA_DIR: dataDir };
    },
    says: /document "layout", got a damaged one: start this node anew with an empty data directory/,
  },
  {
    what: "settings are wrong, all of which are named",
    env: () => ({ PORT: "http", ATOLL_REPLICAS: "2", ATOLL_SEEDS: "nowhere", ATOLL_REPLICA: "3" }),
    says: /PORT: .*ATOLL_SEEDS: .*ATOLL_REPLICAS: .*ATOLL_REPLICA: there is no such variable/,
  },
  {
    what: "both listeners would be open to all",
    env: () => ({ ATOLL_HOST: "0.0.0.0" }),
    says: /ATOLL_CLUSTER_SECRET: wanted one.*ATOLL_HOST: wanted a loopback address, got 0\.0\.0\.0/,
  },
];

for (const { what, env, says } of CASES) {
  test(`a start says in one line that ${what}, and ends`, async () => {
    const { code, stdout, stderr } = await runAtoll(HERE, { ...FREE, ...await env() });
    assert.match(stderr, says);
    assert.match(stderr, /^atoll: .*\n$/, "one line");
    assert.ok(!stderr.includes("    at "), "no stack");
    assert.equal(code, 1);
    assert.ok(!stdout.includes('"listening"'), stdout);
  });
}

test("refused starts leave the running node and other people's files alone", async () => {
  assert.equal((await ask(`${running.publicUrl}/readyz`)).status, 200);
  const env = await holding("untouched", "notes", "mine");
  await runAtoll(HERE, { ...FREE, ...env });
  assert.deepEqual(await readdir(join(directory, "untouched")), ["notes"]);
});

test("--help lists the variables and ends well", async () => {
  const { code, stdout, stderr } = await runAtoll(HERE, {}, ["--help"]);
  assert.equal(code, 0);
  assert.equal(stderr, "");
  for (const name of ["PORT", "ATOLL_DATA_DIR", "ATOLL_SEEDS", "ATOLL_CLUSTER_SECRET"]) {
    assert.ok(stdout.includes(name));
  }
});

async function holding(name: string, file: string, text: string): Promise<Record<string, string>> {
  await mkdir(join(directory, name), { recursive: true });
  await writeFile(join(directory, name, file), text);
  return { ATOLL_DATA_DIR: join(directory, name) };
}
