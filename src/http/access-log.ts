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

const digits = (count: number) =>
  Array.from({ length: 10 ** count }, (_, i) => String(i).padStart(count, "0"));
const TWO_DIGITS = digits(2);
const THREE_DIGITS = digits(3);
const METHODS = new Set(["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"]);

type Observer = (entry: Counted) => void;

export class AccessLog {
  readonly #metrics: Metrics;
  readonly #write: (line: string) => void;
  readonly #wallMs: () => number;
  readonly #cacheResults: Record<"hit" | "revalidated" | "miss", Counter>;
  /** By route, method and status: as many as there are of what is known, whatever clients send. */
  readonly #observers = new Map<string, Map<string, Map<number, Observer>>>();
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
    const { route, status } = entry;
    const method = knownMethod(entry.method);
    // One after the other, as a joint key would have to be made for each request.
    const observe = this.#observers.get(route)?.get(method)?.get(status) ?? this.#newObserver(entry);
    observe(entry);
  }

  #newObserver(entry: Counted): Observer {
    const { route, status } = entry;
    const method = knownMethod(entry.method);
    const byMethod = this.#observers.get(route) ?? new Map<string, Map<number, Observer>>();
    const byStatus = byMethod.get(method) ?? new Map<number, Observer>();
    const observe = this.#observer(entry);
    this.#observers.set(route, byMethod.set(method, byStatus.set(status, observe)));
    return observe;
  }

  #observer(entry: Counted): Observer {
    const labels = {
      http_request_method: knownMethod(entry.method),
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
      METHODS.has(entry.method) ? `"${entry.method}"` : JSON.stringify(entry.method)
    },` +
      `"path":${JSON.stringify(entry.path)},"route":"${entry.route}","status":${entry.status},` +
      (entry.code === undefined ? "" : `"code":"${entry.code}",`) +
      `"bytesIn":${entry.bytesIn},"bytesOut":${entry.bytesOut},` + (entry.complete ? "" : `"aborted":true,`) +
      `"ms":${hundredths(entry.tookMs)},"requestId":"${entry.requestId}","traceId":"${entry.traceId}"` +
      (entry.cacheStatus === undefined ? "" : `,"cacheStatus":${JSON.stringify(entry.cacheStatus)}`) + "}\n";
  }

  #time(): string {
    const now = this.#wallMs();
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#secondText = new Date(second * 1000).toISOString().slice(0, 20);
    }
    return `${this.#secondText}${THREE_DIGITS[Math.floor(now) % 1000]}Z`;
  }
}

/** HTTP/2 lets any token through, a new one each time: none of them may be kept, as a key or a label. */
function knownMethod(method: string): string {
  return METHODS.has(method) ? method : "_OTHER";
}

/** As `toFixed(2)`, which takes longer than all the rest of a line. */
function hundredths(value: number): string {
  const all = Math.round(100 * value);
  const rest = all % 100;
  return `${(all - rest) / 100}.${TWO_DIGITS[rest]}`;
}

function cacheResult(cacheStatus: string): "hit" | "revalidated" | "miss" {
  if (cacheStatus.includes("; hit")) return "hit";
  return cacheStatus.includes("fwd-status=304") ? "revalidated" : "miss";
}
