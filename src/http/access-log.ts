/** One JSON line and a few numbers per request. */
import type { Counter, Metrics } from "../node/metrics.ts";

export interface AccessEntry {
  readonly method: string;
  readonly route: string;
  readonly path: string;
  readonly status: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** The client got all of the answer. */
  readonly complete: boolean;
  readonly tookMs: number;
  readonly requestId: string;
  readonly traceId: string;
  readonly cacheStatus: string | undefined;
  readonly code: string | undefined;
}

type Counted = Pick<
  AccessEntry,
  "method" | "route" | "status" | "bytesIn" | "bytesOut" | "tookMs" | "cacheStatus"
>;

const METHODS = new Set(["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"]);

export class AccessLog {
  readonly #metrics: Metrics;
  readonly #write: (line: string) => void;
  readonly #wallMs: () => number;
  readonly #cacheResults: Record<"hit" | "revalidated" | "miss", Counter>;
  readonly #observers = new Map<string, (entry: Counted) => void>();
  active = 0;
  #second = -1;
  #secondText = "";

  constructor(deps: { metrics: Metrics; write: (line: string) => void; wallMs: () => number }) {
    this.#metrics = deps.metrics;
    this.#write = deps.write;
    this.#wallMs = deps.wallMs;
    const results = (result: string) =>
      deps.metrics.counter("atoll_cache_requests_total", "Answers with an object, by what the cache did", {
        result,
      });
    this.#cacheResults = { hit: results("hit"), revalidated: results("revalidated"), miss: results("miss") };
    deps.metrics.gauge("http_server_active_requests", "Requests under way", () => this.active);
  }

  record(entry: AccessEntry): void {
    this.count(entry);
    this.#write(this.#line(entry));
  }

  /** Without a line. */
  count(entry: Counted): void {
    const key = `${entry.method} ${entry.route} ${entry.status}`;
    let observe = this.#observers.get(key);
    if (!observe) this.#observers.set(key, observe = this.#observer(entry));
    observe(entry);
  }

  #observer(entry: Counted): (entry: Counted) => void {
    const labels = {
      http_request_method: METHODS.has(entry.method) ? entry.method : "_OTHER",
      http_route: entry.route,
      http_response_status_code: String(entry.status),
    };
    const duration = this.#metrics.histogram(
      "http_server_request_duration_seconds",
      "Duration of requests",
      labels,
    );
    const route = { http_request_method: labels.http_request_method, http_route: entry.route };
    const bytesIn = this.#metrics.counter(
      "http_server_request_body_bytes_total",
      "Bytes of bodies received",
      route,
    );
    const bytesOut = this.#metrics.counter(
      "http_server_response_body_bytes_total",
      "Bytes of bodies sent",
      route,
    );
    return ({ tookMs, bytesIn: received, bytesOut: sent, cacheStatus }) => {
      duration.observe(tookMs / 1000);
      bytesIn.add(received);
      bytesOut.add(sent);
      if (cacheStatus !== undefined) this.#cacheResults[cacheResult(cacheStatus)].add();
    };
  }

  /** By hand: this is on the path of every request, and only three values need quoting. */
  #line(entry: AccessEntry): string {
    return `{"time":"${this.#time()}","level":"info","message":"request","method":${
      JSON.stringify(entry.method)
    },` +
      `"path":${JSON.stringify(entry.path)},"route":"${entry.route}","status":${entry.status},` +
      (entry.code === undefined ? "" : `"code":"${entry.code}",`) +
      `"bytesIn":${entry.bytesIn},"bytesOut":${entry.bytesOut},` + (entry.complete ? "" : `"aborted":true,`) +
      `"ms":${entry.tookMs.toFixed(2)},"requestId":"${entry.requestId}","traceId":"${entry.traceId}"` +
      (entry.cacheStatus === undefined ? "" : `,"cacheStatus":${JSON.stringify(entry.cacheStatus)}`) + "}\n";
  }

  #time(): string {
    const now = this.#wallMs();
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#secondText = new Date(second * 1000).toISOString().slice(0, 20);
    }
    return `${this.#secondText}${String(Math.floor(now) % 1000).padStart(3, "0")}Z`;
  }
}

function cacheResult(cacheStatus: string): "hit" | "revalidated" | "miss" {
  if (cacheStatus.includes("; hit")) return "hit";
  return cacheStatus.includes("fwd-status=304") ? "revalidated" : "miss";
}
