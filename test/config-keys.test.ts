import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseConfig } from "../src/config.ts";
import { isAtollError } from "../src/errors.ts";

const GIB = 2 ** 30;
const SECRET = "a-secret-that-nobody-guesses";
const KEY = { id: "ci", secret: SECRET, grants: [{ actions: ["read"], bucket: "docs", prefix: "in/" }] };
const FLY = {
  ATOLL_DISCOVERY: "fly",
  FLY_APP_NAME: "my-app",
  FLY_MACHINE_ID: "148e21f7d0e089",
  FLY_PRIVATE_IP: "fdaa::7",
  ATOLL_CLUSTER_SECRET: "0123456789abcdef",
};

function refusal(env: Record<string, string>): string {
  try {
    parseConfig(env, GIB);
  } catch (error) {
    assert(isAtollError(error, "config"));
    return error.message;
  }
  return assert.fail(`it was taken: ${JSON.stringify(env)}`);
}

describe("ATOLL_KEYS", () => {
  it("is none by default", () => {
    assert.deepEqual(parseConfig({}, GIB).access, { keys: [], metricsAccess: "admin" });
  });

  it("is a list of keys, or a file that holds one", async () => {
    assert.deepEqual(parseConfig({ ATOLL_KEYS: JSON.stringify([KEY]) }, GIB).access.keys, [KEY]);
    const directory = await mkdtemp(join(tmpdir(), "atoll-keys-"));
    try {
      const file = join(directory, "keys.json");
      await writeFile(file, JSON.stringify([KEY, { ...KEY, id: "other" }]));
      assert.deepEqual(parseConfig({ ATOLL_KEYS: `@${file}` }, GIB).access.keys.map(({ id }) => id), [
        "ci",
        "other",
      ]);
      assert.match(refusal({ ATOLL_KEYS: `@${file}.not` }), /ATOLL_KEYS: wanted a file that can be read/);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("says which key is wrong, and shows nothing of it", () => {
    const wrong: readonly (readonly [value: unknown, says: RegExp])[] = [
      [SECRET, /JSON list/],
      [`[{"id":"ci","secret":"${SECRET}"`, /JSON list/],
      [[], /JSON list/],
      [{ ci: SECRET }, /JSON list/],
      [[KEY, KEY], /key 1: wanted an ID of its own/],
      [[KEY, { ...KEY, id: "a.b" }], /key 1: wanted an ID/],
      [[{ ...KEY, secret: "too-short-11" }], /key 0: wanted a secret of 20/],
      [[{ ...KEY, grants: [] }], /key 0: grants: wanted a list/],
      [[{ ...KEY, grant: KEY.grants }], /nothing but id, secret and grants/],
      [[SECRET], /key 0: wanted one like/],
    ];
    for (const [value, says] of wrong) {
      const said = refusal({ ATOLL_KEYS: typeof value === "string" ? value : JSON.stringify(value) });
      assert.match(said, says);
      assert(!said.includes(SECRET) && !said.includes("too-short-11"), said);
    }
  });

  it("lets the public listener leave loopback, which without needs the word that says it is meant", () => {
    const open = { ATOLL_HOST: "0.0.0.0", ATOLL_CLUSTER_SECRET: "0123456789abcdef" };
    assert.match(refusal(open), /ATOLL_HOST: .*set ATOLL_KEYS.*ATOLL_INSECURE=1/);
    const keyed = parseConfig({ ...open, ATOLL_KEYS: JSON.stringify([KEY]) }, GIB);
    assert.deepEqual([keyed.host, keyed.insecure], ["0.0.0.0", false]);
    // What is asked for credentials is not open, whatever else was said.
    const both = parseConfig({ ...open, ATOLL_KEYS: JSON.stringify([KEY]), ATOLL_INSECURE: "1" }, GIB);
    assert.equal(both.insecure, false);
    assert.equal(parseConfig({ ...open, ATOLL_INSECURE: "1" }, GIB).insecure, true);
  });
});

describe("ATOLL_METRICS", () => {
  it("is for admins, on Fly.io also for the platform, unless said otherwise", () => {
    const access = (env: Record<string, string>) =>
      parseConfig({ ATOLL_KEYS: JSON.stringify([KEY]), ...env }, GIB).access.metricsAccess;
    assert.equal(access({}), "admin");
    assert.equal(access(FLY), "fly");
    assert.equal(access({ ...FLY, ATOLL_METRICS: "admin" }), "admin");
    assert.equal(access({ ATOLL_METRICS: "open" }), "open");
    assert.match(refusal({ ATOLL_METRICS: "yes" }), /ATOLL_METRICS: wanted admin, fly or open/);
  });
});
