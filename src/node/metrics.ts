/**
 * Counters, gauges and histograms in memory. A series is resolved once, where it is used, so that counting costs an
 * addition. Names and units are Prometheus' and OpenTelemetry's; labels are few and closed: never a key or an address.
 */

type Labels = Readonly<Record<string, string>>;

export class Counter {
  value = 0;

  add(amount = 1): void {
    this.value += amount;
  }
}

export class Histogram {
  readonly bounds: readonly number[];
  readonly counts: number[];
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.sum += value;
    this.count++;
    for (let i = 0; i < this.bounds.length; i++) {
      if (value <= this.bounds[i]!) {
        this.counts[i]!++;
        return;
      }
    }
  }
}

interface Family<S> {
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly series: Map<string, S>;
}

/** OpenTelemetry's advice for http.server.request.duration, seconds. */
export const DURATION_BOUNDS = [
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
];

/** Series one family may have; a label that turns out to be unbounded must not become a leak. */
const SERIES_MAX = 1_000;

export class Metrics {
  readonly #families = new Map<string, Family<Counter | Histogram | (() => number)>>();

  counter(name: string, help: string, labels: Labels = {}): Counter {
    return this.#series(name, help, "counter", labels, () => new Counter()) as Counter;
  }

  histogram(name: string, help: string, labels: Labels = {}, bounds = DURATION_BOUNDS): Histogram {
    return this.#series(name, help, "histogram", labels, () => new Histogram(bounds)) as Histogram;
  }

  /** `read` is called when the metrics are asked for. */
  gauge(name: string, help: string, read: () => number, labels: Labels = {}): void {
    this.#series(name, help, "gauge", labels, () => read);
  }

  /** Prometheus' text format 0.0.4. */
  text(): string {
    const lines: string[] = [];
    for (const [name, family] of this.#families) {
      lines.push(`# HELP ${name} ${family.help}`, `# TYPE ${name} ${family.type}`);
      for (const [labels, series] of family.series) {
        if (series instanceof Histogram) lines.push(...histogramLines(name, labels, series));
        else lines.push(`${name}${braced(labels)} ${series instanceof Counter ? series.value : series()}`);
      }
    }
    return `${lines.join("\n")}\n`;
  }

  #series(
    name: string,
    help: string,
    type: Family<unknown>["type"],
    labels: Labels,
    make: () => Counter | Histogram | (() => number),
  ) {
    let family = this.#families.get(name);
    if (!family) this.#families.set(name, family = { help, type, series: new Map() });
    const id = Object.entries(labels).map(([key, value]) => `${key}="${escapeLabel(value)}"`).join(",");
    let series = family.series.get(id);
    if (!series) {
      series = make();
      if (family.series.size < SERIES_MAX) family.series.set(id, series);
    }
    return series;
  }
}

function histogramLines(name: string, labels: string, histogram: Histogram): string[] {
  const lines: string[] = [];
  const prefix = labels === "" ? "" : `${labels},`;
  let total = 0;
  for (const [i, bound] of histogram.bounds.entries()) {
    total += histogram.counts[i]!;
    lines.push(`${name}_bucket{${prefix}le="${bound}"} ${total}`);
  }
  lines.push(`${name}_bucket{${prefix}le="+Inf"} ${histogram.count}`);
  lines.push(
    `${name}_sum${braced(labels)} ${histogram.sum}`,
    `${name}_count${braced(labels)} ${histogram.count}`,
  );
  return lines;
}

function braced(labels: string): string {
  return labels === "" ? "" : `{${labels}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
