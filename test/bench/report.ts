/** What was measured, as tables for people. */
import type { MemoryResult } from "./memory-row.ts";
import type { Machine } from "./machine.ts";

export interface Cell {
  readonly server: string;
  readonly median: number;
  readonly samples: readonly number[];
  readonly errors: number;
  /** The most that each process held during the row's runs; none where it could not be seen. */
  readonly rssBytes: readonly number[];
  readonly p50Ms?: number;
  readonly p99Ms?: number;
}

export interface RowResult {
  readonly name: string;
  readonly unit: string;
  readonly cells: readonly Cell[];
}

export interface Report {
  readonly date: string;
  readonly cores: number;
  readonly cpu: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly runtime: string;
  readonly seconds: number;
  readonly rounds: number;
  readonly machine: Machine | undefined;
  readonly rows: readonly RowResult[];
  readonly memory: MemoryResult | undefined;
}

const YARDSTICK = "bare Hono";
const OURS = ["ring of 1", "ring of 3"];
const MIB = 2 ** 20;

const LESS_IS_BETTER = new Set(["ms", "p99/p50"]);

/** How often as good: quicker is above 1, for times too. */
function ratio(unit: string, ours: number, theirs: number): string {
  return (LESS_IS_BETTER.has(unit) ? theirs / ours : ours / theirs).toFixed(2);
}

export function valuesTable(report: Report): string {
  const servers = report.rows[0]?.cells.map((cell) => cell.server) ?? [];
  const lines = report.rows.map((row) => [
    row.name,
    row.unit,
    ...row.cells.map((cell) => {
      const memory = cell.rssBytes.length === 0 ? "" : ` (${cell.rssBytes.map(mebibytes).join("+")})`;
      return `${number(cell.median)}${cell.errors > 0 ? ` !${cell.errors} errors` : ""}${memory}`;
    }),
  ]);
  return table([["median (RSS, MiB)", "unit", ...servers], ...lines]);
}

export function ratiosTable(report: Report): string {
  const others = (report.rows[0]?.cells ?? []).map((cell) => cell.server).filter((name) =>
    !OURS.includes(name)
  );
  const pairs = OURS.flatMap((ours) => others.map((theirs) => [ours, theirs] as const));
  const lines = report.rows.map((row) => {
    const value = (name: string) => row.cells.find((cell) => cell.server === name)?.median ?? NaN;
    return [row.name, ...pairs.map(([ours, theirs]) => ratio(row.unit, value(ours), value(theirs)))];
  });
  const short = (name: string) => name === YARDSTICK ? "bare" : name;
  return table([["times as good", ...pairs.map(([ours, theirs]) => `${ours} / ${short(theirs)}`)], ...lines]);
}

/** An upload cannot outrun the slower of hashing each byte twice and syncing it to the disk. */
export function machineLines(report: Report): string[] {
  const { machine } = report;
  if (!machine) return [];
  const limit = Math.min(machine.hashTwice, machine.diskSync) / 1e6;
  const put = report.rows.find((row) => row.name.startsWith("streaming PUT"));
  const shares = (put?.cells ?? []).filter((cell) => OURS.includes(cell.server))
    .map((cell) => `${cell.server} ${(cell.median / limit).toFixed(2)}`);
  return [
    `machine: SHA-256 of each byte twice on one core ${number(machine.hashTwice / 1e6)} MB/s, ` +
    `256 MiB written and synced ${number(machine.diskSync / 1e6)} MB/s`,
    ...(shares.length > 0 ? [`streaming PUT against the slower of the two: ${shares.join(", ")}`] : []),
  ];
}

export function memoryLine(result: MemoryResult): string {
  const rate = number(result.movedBytes / result.seconds / 1e6);
  return `peak RSS ${mebibytes(result.peakBytes)} MiB (before ${mebibytes(result.idleBytes)}, memory cache ` +
    `${mebibytes(result.cacheBytes)}); ${(result.movedBytes / 2 ** 30).toFixed(0)} GiB in ${
      result.seconds.toFixed(0)
    } s, ${rate} MB/s`;
}

function mebibytes(bytes: number): string {
  return (bytes / MIB).toFixed(0);
}

function number(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 3;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

export function table(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) =>
    line.map((text, column) => column === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[column]!)).join(
      "  ",
    )
  ).join("\n");
}
