/**
 * `npm run outage`: a ring of three real processes on both runtimes under a steady load. One is killed and comes back, one
 * hangs and goes on, one loses its disk; in each case: how soon all is well again, what readers and writers notice, and
 * whether every read was right at every moment.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { metricOf, metricsOf } from "../helpers/raw-http.ts";
import { Load, percentile, type Phase, type Wanted } from "./outage-load.ts";

const { values } = parseArgs({
  options: {
    keys: { type: "string", default: "100000" },
    body: { type: "string", default: "1024" },
    reads: { type: "string", default: "150" },
    writes: { type: "string", default: "50" },
    /** Of the outage itself; the healthy phases take a third of it. */
    seconds: { type: "string", default: "60" },
    only: { type: "string", default: "" },
    json: { type: "string" },
  },
});
const [keys, bodyBytes, reads, writes, seconds] = [
  values.keys,
  values.body,
  values.reads,
  values.writes,
  values.seconds,
].map(Number) as [number, number, number, number, number];
if (
  ![keys, bodyBytes, reads, writes, seconds].every((number) => Number.isSafeInteger(number) && number > 0)
) {
  console.error("wanted --keys, --body (bytes), --reads and --writes (a second), --seconds as whole numbers");
  process.exit(2);
}
const only = new RegExp(values.only);

const [KILLED, PAUSED, WIPED] = [2, 1, 2] as const;
const MEND_MS = 900_000;
/** As long as a phase of repair is looked at, at least. */
const REPAIR_MS = 15_000;

const directory = mkdtempSync(join(tmpdir(), "atoll-outage-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

const facts: Record<string, number | string> = {};
const away = new Set<number>();
await using ring = await startRing({ directory, runtimes: ["node", "deno", "node"] });
const load = new Load({
  keys,
  bodyBytes,
  urls: () => ring.nodes.flatMap(({ publicUrl }, index) => away.has(index) ? [] : [publicUrl]),
});

await load.fill();
tell("filled", `${keys} keys of ${bodyBytes} bytes in ${since(load.phases[0]!)} s`);
await until("all replicas have all", MEND_MS, async () => (await isWhole(ring)) === 0);
const running = load.run(reads, writes);
try {
  await delay(2_000); // connections, and what filling left behind
  if (only.test("outage")) await outage();
  if (only.test("pause")) await pause();
  if (only.test("wipe")) await wipe();
} finally {
  load.end();
  await running;
  load.close();
  report();
}
if (values.json !== undefined) {
  await writeFile(
    values.json,
    `${JSON.stringify({ ...circumstances(), facts, phases: load.phases.map(rowOf) }, null, 2)}\n`,
  );
}

async function outage(): Promise<void> {
  const healthy = load.begin("healthy");
  await delay((seconds * 1000) / 3);
  // What a process costs that starts: the runtime compiles what it runs, on the cores that the others share with it.
  away.add(KILLED);
  load.begin("its process starts, next to nothing missed");
  await ring.nodes[KILLED]!.kill("SIGKILL");
  await ring.restart(KILLED);
  away.delete(KILLED);
  const started = load.begin("back, next to nothing to repair");
  await delay(REPAIR_MS);
  load.begin("healthy again");
  await until("nothing is owed", MEND_MS, async () => await isWhole(ring) === 0);
  await delay((seconds * 1000) / 6);
  away.add(KILLED);
  load.begin("one of three killed");
  load.changes();
  await ring.nodes[KILLED]!.kill("SIGKILL");
  await delay(seconds * 1000);
  const missed = load.changes();
  // A runtime that starts takes a core for a second or two, whatever it is that it starts.
  load.begin("its process starts");
  const returnedMs = performance.now();
  const node = await ring.restart(KILLED);
  const back = load.begin("back, repairing");
  away.delete(KILLED);
  tell("restart to ready, s", secondsSince(returnedMs));
  let owed = 0;
  await until("what was missed is delivered", MEND_MS, async () => {
    owed = Math.max(owed, await metricOf(ring.nodes[0]!.publicUrl, "atoll_hints_owed"));
    return await isWhole(ring) === 0;
  }, node.lines);
  tell("return to nothing owed and nothing incomplete, s", secondsSince(returnedMs));
  await until("its disk has all it missed", MEND_MS, () => missing(KILLED, missed) === 0, node.lines);
  tell("return to converged (its own disk was looked at), s", secondsSince(returnedMs));
  tell("objects changed while it was down", missed.length);
  tell("changes delivered", await sumOf("atoll_repair_registers_total"));
  await delay(Math.max(0, REPAIR_MS - (performance.now() - back.startedMs)));
  compare("while repairing", healthy, back);
  compare("after a start without repair", healthy, started);
}

async function pause(): Promise<void> {
  const healthy = load.begin("healthy, before the pause");
  await delay((seconds * 1000) / 3);
  const node = ring.nodes[PAUSED]!;
  const others = ring.nodes.filter((other) => other !== node);
  const seen = others.map(({ lines }) => lines.filter((line) => line.includes("peer is suspect")).length);
  away.add(PAUSED);
  const unnoticed = load.begin("hangs, not suspected yet");
  const pausedMs = performance.now();
  node.pause();
  await until(
    "it is suspected by both",
    30_000,
    () =>
      others.every(({ lines }, i) =>
        lines.filter((line) => line.includes("peer is suspect")).length > seen[i]!
      ),
  );
  tell("SIGSTOP to suspected by both others, s", secondsSince(pausedMs));
  await delay(500); // what was asked before
  const noticed = load.begin("hangs, suspected");
  await delay((seconds * 1000) / 3);
  node.resume();
  const back = load.begin("goes on again");
  const resumedMs = performance.now();
  await until("what it missed is delivered", MEND_MS, async () => await isWhole(ring) === 0, node.lines);
  tell("SIGCONT to nothing owed, s", secondsSince(resumedMs));
  away.delete(PAUSED);
  await delay(5_000);
  compare("while it hangs, once suspected", healthy, noticed);
  tell(
    "longest wait of all while it hung, ms",
    Math.max(
      ...[unnoticed, noticed, back].flatMap(({ samples }) => samples.map(({ ms }) => ms)),
    ),
  );
}

async function wipe(): Promise<void> {
  const healthy = load.begin("healthy, before the wipe");
  await delay((seconds * 1000) / 3);
  away.add(WIPED);
  load.begin("killed, and its disk lost");
  await ring.nodes[WIPED]!.kill("SIGKILL");
  await rm(ring.dataDir(WIPED), { recursive: true });
  const begunMs = performance.now();
  const node = await ring.restart(WIPED);
  const wiped = load.begin("everything is fetched anew");
  away.delete(WIPED);
  const left = new Set<number>();
  await until("it has its votes again", MEND_MS, async () => {
    const count = await metricOf(node.publicUrl, "atoll_recovery_partitions_left");
    left.add(count);
    return count === 0;
  }, node.lines);
  tell("wiped: start to all votes again, s", secondsSince(begunMs));
  await until("nothing is incomplete", MEND_MS, async () => await isWhole(ring) === 0, node.lines);
  const all = load.changes(true);
  await until("its disk has everything", MEND_MS, () => missing(WIPED, all) === 0, node.lines);
  tell("wiped: start to everything back (its own disk was looked at), s", secondsSince(begunMs));
  tell("wiped: objects back", all.length);
  facts["wiped: lines of progress in the log"] =
    node.lines.filter((line) => line.includes('"resyncing"')).length;
  tell("wiped: values of atoll_recovery_partitions_left seen", left.size);
  compare("while the wiped node is filled", healthy, wiped);
}

/** Debts and gaps, all nodes together. */
async function isWhole(ring: AtollRing): Promise<number> {
  const names = [
    "atoll_hints_owed",
    "atoll_handoff_chunks_owed",
    "atoll_objects_incomplete",
    "atoll_recovery_partitions_left",
  ];
  const counts = await Promise.all(ring.nodes.map(({ publicUrl }) => metricsOf(publicUrl, names)));
  return counts.flat().reduce((sum, count) => sum + count, 0);
}

async function sumOf(name: string): Promise<number> {
  const counts = await Promise.all(ring.nodes.map(({ publicUrl }) => metricOf(publicUrl, name)));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** How many of these a node's own disk lacks, in that version or a later one, with their bytes. */
function missing(index: number, wanted: readonly Wanted[]): number {
  using database = new DatabaseSync(join(ring.dataDir(index), "catalog.db"), { readOnly: true });
  const register = database.prepare("SELECT value FROM registers WHERE name = ?");
  const chunk = database.prepare("SELECT 1 FROM chunks WHERE id = ?");
  return wanted.filter(({ name, version, chunk: id }) => {
    const text = register.get(Buffer.from(name))?.["value"];
    const held = typeof text === "string" ? (JSON.parse(text) as { version: number }).version : 0;
    if (held < version) return true;
    return held === version && chunk.get(Buffer.from(id, "hex")) === undefined;
  }).length;
}

function compare(what: string, healthy: Phase, other: Phase): void {
  for (const kind of ["read", "write"] as const) {
    const [before, then] = [healthy, other].map(({ samples }) => percentile(samples, kind, 0.99));
    tell(`p99 of ${kind}s ${what}, times the healthy one`, Number((then! / before!).toFixed(2)));
  }
}

function rowOf({ name, samples, failures }: Phase) {
  const of = (kind: "read" | "write") => ({
    count: samples.filter((sample) => sample.kind === kind).length,
    p50Ms: percentile(samples, kind, 0.5),
    p99Ms: percentile(samples, kind, 0.99),
    maxMs: percentile(samples, kind, 1),
  });
  return { name, read: of("read"), write: of("write"), failures: Object.fromEntries(failures) };
}

function report(): void {
  const { date, cores, load1 } = circumstances();
  console.log(
    `\n${date}  ${cores} cores, load ${load1}; ${reads} reads and ${writes} writes a second, any of the nodes that are there`,
  );
  console.log(
    "ms from when each was due".padEnd(40) + "read p50     p99     max   write p50     p99     max",
  );
  for (const phase of load.phases.slice(1)) {
    const { name, read, write, failures } = rowOf(phase);
    const cells = [read.p50Ms, read.p99Ms, read.maxMs, write.p50Ms, write.p99Ms, write.maxMs];
    const failed = Object.entries(failures).map(([what, count]) => `${count} ${what}`).join(", ");
    console.log(
      name.padEnd(40) + cells.map((ms) => ms.toFixed(1).padStart(8)).join("") + (failed && `  ${failed}`),
    );
  }
  console.log(`wrong reads: ${load.wrong.length}`);
  for (const line of load.wrong.slice(0, 10)) console.log(`  ${line}`);
  if (load.wrong.length > 0) process.exitCode = 1;
}

function circumstances() {
  return {
    date: new Date().toISOString(),
    cores: cpus().length,
    load1: loadavg()[0]!.toFixed(1),
    keys,
    bodyBytes,
  };
}

/** At once: the whole takes minutes, and may be broken off. */
function tell(what: string, value: number | string): void {
  facts[what] = value;
  console.log(`${what}: ${value}`);
}

function since(phase: Phase): string {
  return ((performance.now() - phase.startedMs) / 1000).toFixed(1);
}

function secondsSince(startedMs: number): number {
  return Number(((performance.now() - startedMs) / 1000).toFixed(1));
}
