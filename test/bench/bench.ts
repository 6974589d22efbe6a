/** `npm run bench`: the servers side by side, in one run, as a table. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { statfs, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { binary } from "../tools/project.ts";
import { measureMachine } from "./machine.ts";
import { median } from "./medians.ts";
import { measureMemory, MEMORY_ROW, memoryProblem, type MemoryResult } from "./memory-row.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import {
  type Cell,
  machineLines,
  memoryLine,
  ratiosTable,
  type Report,
  type RowResult,
  valuesTable,
} from "./report.ts";
import { LARGE_BYTES, type Row, rows, type Sample } from "./rows.ts";
import { type Server, type Servers, startServers, watchMemory } from "./servers.ts";
import { wrkProblem } from "./wrk.ts";

/** statfs type of a file system in memory, on which a sync costs nothing. */
const TMPFS = 0x01021994;

async function bench(options: Options, directory: string): Promise<Report> {
  const every = rows(directory, options.seconds);
  const wanted = every.filter((row) => options.only.test(row.name));
  if (wanted.length === 0 && !options.only.test(MEMORY_ROW)) {
    throw new Error(
      `--only: no row matches; there are ${[...every.map((row) => row.name), MEMORY_ROW].join(" · ")}`,
    );
  }
  const problem = wanted.some((row) => row.needsWrk) ? await wrkProblem() : undefined;
  if (problem !== undefined) console.log(problem);
  const possible = wanted.filter((row) => problem === undefined || !row.needsWrk);
  if ((await statfs(directory)).type === TMPFS) {
    console.log(
      "the temporary directory is in memory, where a sync costs nothing: set TMPDIR to one on a disk",
    );
  }
  const needsMachine = possible.some((row) => row.name.startsWith("streaming"));
  const machine = needsMachine ? await measureMachine(directory, LARGE_BYTES, options.rounds) : undefined;
  const results = possible.length > 0 ? await measureRows(possible, options, directory) : [];
  const memory = options.only.test(MEMORY_ROW)
    ? await measureMemoryIfPossible(options, directory)
    : undefined;
  return { ...circumstances(options), machine, rows: results, memory };
}

async function measureRows(
  wanted: readonly Row[],
  options: Options,
  directory: string,
): Promise<RowResult[]> {
  await using servers = await startServers(directory, options.runtime, options.peers);
  const results: RowResult[] = [];
  for (const row of wanted) results.push(await measureRow(row, servers, options.rounds));
  return results;
}

async function measureRow(row: Row, servers: Servers, rounds: number): Promise<RowResult> {
  await row.prepare?.(servers);
  const samples = new Map<Server, { samples: Sample[]; rssBytes: number[] }>();
  for (const server of servers.all) samples.set(server, { samples: [], rssBytes: server.pids.map(() => 0) });
  // Runtimes compile what turns out to be busy: a run that does not count comes first, for all alike.
  for (const server of servers.all) await row.run(server);
  for (let round = 0; round < rounds; round++) {
    // Interleaved: what the machine does meanwhile befalls all alike.
    for (const server of servers.all) {
      const kept = samples.get(server)!;
      const { result, rssBytes } = await watchMemory(server, () => row.run(server));
      kept.samples.push(result);
      kept.rssBytes = rssBytes.map((bytes, i) => Math.max(bytes, kept.rssBytes[i]!));
      progress(`${row.name}, round ${round + 1}: ${server.name} ${result.value.toFixed(2)} ${row.unit}`);
    }
  }
  await row.finish?.();
  return {
    name: row.name,
    unit: row.unit,
    cells: [...samples].map(([server, kept]) => cellOf(server, kept)),
  };
}

function cellOf(server: Server, kept: { samples: readonly Sample[]; rssBytes: readonly number[] }): Cell {
  const values = kept.samples.map((sample) => sample.value);
  const latencies = (name: "p50Ms" | "p99Ms") => kept.samples.flatMap((sample) => sample[name] ?? []);
  return {
    server: server.name,
    median: median(values),
    samples: values,
    errors: kept.samples.reduce((sum, sample) => sum + sample.errors, 0),
    rssBytes: kept.rssBytes,
    ...(latencies("p50Ms").length > 0
      ? { p50Ms: median(latencies("p50Ms")), p99Ms: median(latencies("p99Ms")) }
      : {}),
  };
}

async function measureMemoryIfPossible(
  options: Options,
  directory: string,
): Promise<MemoryResult | undefined> {
  const problem = await memoryProblem(directory);
  if (problem !== undefined) {
    console.log(`${MEMORY_ROW}: left out: ${problem}`);
    return undefined;
  }
  progress(MEMORY_ROW);
  return await measureMemory(directory, options.runtime);
}

function circumstances(options: Options): Omit<Report, "machine" | "rows" | "memory"> {
  const version = (name: string) =>
    spawnSync(binary(name), ["--version"], { encoding: "utf8" }).stdout.split("\n")[0]!;
  return {
    date: new Date().toISOString(),
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? "unknown",
    versions: { node: version("node"), deno: version("deno") },
    runtime: options.runtime,
    seconds: options.seconds,
    rounds: options.rounds,
  };
}

function progress(line: string): void {
  // Where nobody watches, only the tables are wanted.
  if (process.stderr.isTTY) process.stderr.write(`  ${line}\n`);
}

function print(report: Report): void {
  const { date, cores, cpu, versions, runtime, rounds, seconds } = report;
  console.log(`\n${date}  ${cores} cores (${cpu})  ${versions["node"]}, ${versions["deno"]}`);
  console.log(
    `Atoll and the bare handler on ${runtime}; medians of ${rounds} interleaved rounds after one that does not count, ${seconds} s each`,
  );
  if (report.rows.length > 0) {
    console.log("small rows: wrk, 64 connections for GET, 32 for PUT to fresh keys; large rows: curl");
    console.log("only the hot object has a max-age: Atoll asks for the version of all others on every GET\n");
    console.log(`${valuesTable(report)}\n\n${ratiosTable(report)}\n`);
  }
  for (const line of machineLines(report)) console.log(line);
  if (report.memory) console.log(`${MEMORY_ROW}: ${memoryLine(report.memory)}`);
}

function optionsOrUsage(): Options {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    process.exit(2);
  }
}

const options = optionsOrUsage();
const directory = mkdtempSync(join(tmpdir(), "atoll-bench-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
const report = await bench(options, directory);
print(report);
if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
