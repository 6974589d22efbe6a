/** How far a long thing is: a line that changes on a terminal, a line now and then where there is none. */
import type { Writable } from "node:stream";
import { createLogUpdate } from "log-update";
import { Rate } from "./rate.ts";
import { formatBytes, formatSeconds } from "./units.ts";

export type ProgressStyle = "bar" | "lines" | "none";

const BAR_INTERVAL_MS = 100;
const LINE_INTERVAL_MS = 10_000;
const BAR_COLUMNS = 24;
const COLUMNS_DEFAULT = 80;

export interface ProgressState {
  readonly label: string;
  readonly doneBytes: number;
  /** Undefined while it is not known. */
  readonly totalBytes: number | undefined;
  readonly bytesPerSecond: number | undefined;
}

export class Progress {
  readonly style: ProgressStyle;
  readonly #stream: Writable & { readonly columns?: number };
  readonly #update: ReturnType<typeof createLogUpdate>;

  constructor(stream: Writable & { readonly columns?: number }, options: { readonly style: ProgressStyle }) {
    this.style = options.style;
    this.#stream = stream;
    // The cursor stays: to hide it is to owe it back, even to a user who interrupts.
    this.#update = createLogUpdate(sized(stream), { showCursor: true });
  }

  /** Bytes that move. `doneBytes`: moved at an earlier attempt. To be ended, or it keeps the process. */
  transfer(label: string, totalBytes: number | undefined, doneBytes = 0): Transfer {
    return new Transfer(this, label, totalBytes, doneBytes);
  }

  get intervalMs(): number {
    return this.style === "bar" ? BAR_INTERVAL_MS : LINE_INTERVAL_MS;
  }

  /** The state of things: replaces the last on a terminal, follows it elsewhere. */
  show(line: string): void {
    if (this.style === "bar") this.#update(clipped(line, (this.#stream.columns || COLUMNS_DEFAULT) - 1));
    else if (this.style === "lines") this.#stream.write(`${line}\n`);
  }

  /** Makes way for lines that stay. */
  clear(): void {
    if (this.style === "bar") this.#update.clear();
  }
}

export class Transfer {
  readonly #progress: Progress;
  readonly #label: string;
  readonly #totalBytes: number | undefined;
  readonly #rate = new Rate();
  readonly #timer: NodeJS.Timeout | undefined;
  #doneBytes: number;

  constructor(progress: Progress, label: string, totalBytes: number | undefined, doneBytes: number) {
    this.#progress = progress;
    this.#label = label;
    this.#totalBytes = totalBytes;
    this.#doneBytes = doneBytes;
    this.#rate.sample(performance.now(), doneBytes);
    if (progress.style !== "none") this.#timer = setInterval(() => this.#show(), progress.intervalMs);
  }

  advance(bytes: number): void {
    this.#doneBytes += bytes;
    this.#rate.sample(performance.now(), this.#doneBytes);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#progress.clear();
  }

  #show(): void {
    this.#progress.show(progressLine({
      label: this.#label,
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
      bytesPerSecond: this.#rate.perSecond(performance.now()),
    }, { hasBar: this.#progress.style === "bar" }));
  }
}

export function progressLine(state: ProgressState, options: { readonly hasBar: boolean }): string {
  const { label, doneBytes, totalBytes, bytesPerSecond } = state;
  const rate = bytesPerSecond === undefined ? "" : `  ${formatBytes(Math.round(bytesPerSecond))}/s`;
  if (totalBytes === undefined) return `${label}  ${formatBytes(doneBytes)}${rate}`;
  const fraction = totalBytes === 0 ? 1 : doneBytes / totalBytes;
  const leftBytes = totalBytes - doneBytes;
  const eta = leftBytes > 0 && bytesPerSecond !== undefined && bytesPerSecond >= 1
    ? `  ${formatSeconds(leftBytes / bytesPerSecond)} left`
    : "";
  return `${label}  ${options.hasBar ? `${bar(fraction)} ` : ""}${percent(fraction)}  ${
    formatBytes(doneBytes)
  } of ${formatBytes(totalBytes)}${rate}${eta}`;
}

/** 100 % only when all is done. */
export function percent(fraction: number): string {
  return `${Math.floor(100 * within01(fraction))} %`;
}

export function bar(fraction: number): string {
  const full = Math.floor(BAR_COLUMNS * within01(fraction));
  return `[${"=".repeat(full)}${full < BAR_COLUMNS ? ">" : ""}${
    " ".repeat(Math.max(0, BAR_COLUMNS - full - 1))
  }]`;
}

function within01(fraction: number): number {
  return Math.min(1, Math.max(0, fraction));
}

/** A terminal that was told no size has 0 columns and rows (`docker exec -t`, consoles), into which nothing would fit. */
function sized<T extends Writable>(stream: T): T {
  return new Proxy(stream, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name === "columns" || name === "rows") return value || undefined;
      return typeof value === "function" ? value.bind(target) as unknown : value;
    },
  });
}

/** A line that wraps could not be replaced as one. */
function clipped(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`;
}
