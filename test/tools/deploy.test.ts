/** What is deployed with, checked as far as it goes without Fly.io and without Docker. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { parse } from "smol-toml";
import { z } from "zod";
import { createSecrets } from "../../src/adapters/secrets.ts";
import { parseConfig } from "../../src/config.ts";
import { isAtollError } from "../../src/errors.ts";
import type { Manner } from "../../src/http/credentials.ts";
import { Keys } from "../../src/node/keys.ts";
import { within } from "../helpers/deadline.ts";
import { openMemoryNode } from "../helpers/memory-node.ts";
import { KEYS } from "../helpers/credentials.ts";
import { freePorts } from "../helpers/ports.ts";
import { binary, PROJECT, run } from "./project.ts";

const GIB = 2 ** 30;
/** As Fly.io sets them in a machine. */
const MACHINE = {
  FLY_APP_NAME: "atoll-test",
  FLY_MACHINE_ID: "148e21f7d0e089",
  FLY_REGION: "fra",
  FLY_PRIVATE_IP: "fdaa:0:1:a7b:1::2",
};
/** As README says to set them. */
const SECRETS = {
  ATOLL_CLUSTER_SECRET: "0123456789abcdef0123456789abcdef",
  ATOLL_KEYS: JSON.stringify([KEYS.admin]),
};

const check = z.object({
  method: z.literal("GET"),
  path: z.string(),
  interval: z.string(),
  timeout: z.string(),
  grace_period: z.string(),
});

/** Strict: Fly.io takes keys it does not know without a word. */
const flyToml = z.strictObject({
  app: z.string(),
  primary_region: z.string().length(3),
  kill_signal: z.literal(["SIGTERM", "SIGINT"]),
  kill_timeout: z.int().max(300),
  build: z.strictObject({ dockerfile: z.string() }),
  deploy: z.strictObject({
    strategy: z.literal("rolling"),
    max_unavailable: z.literal(1),
    wait_timeout: z.string(),
  }),
  env: z.record(z.string(), z.string()),
  mounts: z.tuple([z.strictObject({
    source: z.string(),
    destination: z.string(),
    initial_size: z.string(),
    scheduled_snapshots: z.boolean(),
    auto_extend_size_threshold: z.int(),
    auto_extend_size_increment: z.string(),
    auto_extend_size_limit: z.string(),
  })]),
  http_service: z.strictObject({
    internal_port: z.int(),
    force_https: z.literal(true),
    auto_stop_machines: z.literal("off"),
    auto_start_machines: z.boolean(),
    concurrency: z.strictObject({
      type: z.literal("requests"),
      soft_limit: z.int(),
      hard_limit: z.int(),
    }),
    http_options: z.strictObject({ compress: z.literal(false), idle_timeout: z.int() }),
    checks: z.tuple([check.strict()]),
  }),
  checks: z.strictObject({ live: check.extend({ type: z.literal("http"), port: z.int() }).strict() }),
  metrics: z.strictObject({ port: z.int(), path: z.string() }),
  vm: z.tuple([z.strictObject({ size: z.string(), memory: z.string() })]),
});

const fly = flyToml.parse(parse(await readFile(join(PROJECT, "fly.toml"), "utf8")));
const dockerfile = parseDockerfile(await readFile(join(PROJECT, fly.build.dockerfile), "utf8"));

let directory: string;
let built: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-deploy-"));
  built = join(directory, "built", "atoll.mjs");
  const { code, output } = await run(["node", "test/tools/build.ts", built], { show: false });
  assert.equal(code, 0, output);
});
after(() => rm(directory, { recursive: true }));

test("fly.toml and a machine's variables make settings that fit each other", () => {
  const config = parseConfig({ ...dockerfile.env, ...fly.env, ...MACHINE, ...SECRETS }, GIB);
  const own = "148e21f7d0e089.vm.atoll-test.internal";
  assert.deepEqual(config.discovery, { kind: "fly", app: "atoll-test", machineId: "148e21f7d0e089" });
  assert.equal(config.host, "::", "the proxy comes over IPv4, other machines over IPv6");
  assert.equal(config.peerHost, MACHINE.FLY_PRIVATE_IP);
  assert.equal(config.peerUrl, `http://${own}:8081`);
  assert.equal(config.publicUrl, `http://${own}:8080`);
  assert.equal(config.region, "fra");
  assert.equal(config.machineId, "148e21f7d0e089");
  assert.equal(config.dataDir, fly.mounts[0].destination);
  assert.equal(config.bootstrapExpect, 3);
  for (const port of [fly.http_service.internal_port, fly.checks.live.port, fly.metrics.port]) {
    assert.equal(port, config.port);
  }
  assert.ok(config.drainTimeoutMs < fly.kill_timeout * 1_000, "drained before it is killed");
  const { soft_limit: soft, hard_limit: hard } = fly.http_service.concurrency;
  assert.ok(
    soft < hard && hard < config.limits.maxConcurrentRequests,
    "the proxy turns away before the node does",
  );
});

test("without its secrets an app on Fly.io does not start, and says which are missing", () => {
  assert.throws(
    () => parseConfig({ ...fly.env, ...MACHINE }, GIB),
    (error) => isAtollError(error, "config") && /ATOLL_CLUSTER_SECRET.*ATOLL_KEYS/s.test(error.message),
  );
});

test("what fly.toml asks for are routes of the node, which the platform may read without a key", async () => {
  const { access } = parseConfig({ ...fly.env, ...MACHINE, ...SECRETS }, GIB);
  const keys = new Keys<Manner>({ secrets: createSecrets(), configured: access.keys });
  using node = await openMemoryNode({ access: () => ({ keys, metricsAccess: access.metricsAccess }) });
  for (const path of [fly.http_service.checks[0].path, fly.checks.live.path, fly.metrics.path]) {
    assert.equal((await node.request(path)).status, 200, path);
  }
  node.drain();
  assert.equal((await node.request(fly.http_service.checks[0].path)).status, 503, "draining: no traffic");
  assert.equal((await node.request(fly.checks.live.path)).status, 200, "draining: alive");
});

test("the image is one file, run by another user than root, without a shell", () => {
  const { copied, user, command, env } = dockerfile;
  assert.deepEqual(copied.map(({ from, to }) => [basename(from), to]), [["atoll.mjs", command.at(-1)]]);
  assert.ok(user !== "root" && user !== "0" && user !== "", user);
  assert.equal(env["ATOLL_DATA_DIR"], fly.mounts[0].destination);
});

test("what the image is built from is all let in by .dockerignore", async () => {
  const lines = (await readFile(join(PROJECT, ".dockerignore"), "utf8")).split("\n");
  const allowed = lines.filter((line) => line.startsWith("!")).map((line) => line.slice(1)).sort();
  assert.deepEqual(allowed, [...dockerfile.sources].sort());
  assert.ok(lines.includes("*"));
});

test("the image's command runs as it stands there, answers on IPv4 and IPv6, and drains at the signal", async () => {
  const [program = "", file = ""] = dockerfile.command;
  assert.equal(program, "node");
  const [port, peerPort] = await freePorts(2);
  const empty = join(directory, "empty");
  await mkdir(empty);
  const child = spawn(binary(program), [file === dockerfile.copied[0]!.to ? built : file], {
    cwd: empty,
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      PATH: process.env["PATH"],
      ...dockerfile.env,
      ...SECRETS,
      ATOLL_DATA_DIR: join(empty, "data"),
      ATOLL_HOST: "::",
      PORT: String(port),
      ATOLL_PEER_PORT: String(peerPort),
    },
  });
  const lines: string[] = [];
  const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  try {
    const listening = new Promise<void>((resolve) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        lines.push(line);
        if (line.includes('"listening"')) resolve();
      });
    });
    await within(listening, 10_000, "it listens", lines);
    for (const host of ["127.0.0.1", "[::1]"]) {
      const reply = await fetch(`http://${host}:${port}${fly.http_service.checks[0].path}`);
      assert.equal(reply.status, 200, host);
      await reply.body?.cancel();
    }
    process.kill(child.pid!, fly.kill_signal);
    assert.equal(await within(ended, 10_000, "it ends by itself", lines), 0);
    assert.ok(lines.some((line) => line.includes('"draining"')));
  } finally {
    if (child.exitCode === null && child.signalCode === null) process.kill(child.pid!, "SIGKILL");
    await ended;
  }
});

interface Dockerfile {
  /** Of the image that is run. */
  readonly copied: readonly { readonly from: string; readonly to: string }[];
  readonly user: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** What the stages before take from the project. */
  readonly sources: readonly string[];
}

/** As much of the format as the one file uses; anything else fails. */
function parseDockerfile(text: string): Dockerfile {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const stages: string[][] = [];
  for (const line of lines) {
    if (line.startsWith("FROM ")) stages.push([]);
    stages.at(-1)!.push(line);
  }
  const last = stages.at(-1)!;
  const of = (stage: readonly string[], word: string): string[] =>
    stage.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  assert.equal(of(last, "CMD").length, 1);
  return {
    copied: of(last, "COPY").map((line) => {
      const [flag, from = "", to = ""] = line.split(" ");
      assert.equal(flag, "--from=build");
      return { from, to };
    }),
    user: of(last, "USER").at(-1) ?? "",
    // The exec form is JSON; the shell form is not.
    command: z.array(z.string()).parse(JSON.parse(of(last, "CMD")[0]!)),
    env: Object.fromEntries(
      of(last, "ENV").flatMap((line) => line.split(" ")).map((pair) => pair.split("=") as [string, string]),
    ),
    sources: stages.slice(0, -1).flatMap((stage) =>
      of(stage, "COPY").flatMap((line) => line.split(" ").slice(0, -1))
    ),
  };
}
