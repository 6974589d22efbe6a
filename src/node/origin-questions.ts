/** Asking an origin, through its redirects, and what its answer says of itself. */
import type { OriginSettings } from "../core/bucket-settings.ts";
import { parsePolicy, storable } from "../core/freshness.ts";
import {
  type CopyNotes,
  endToEnd,
  fieldOf,
  type Fields,
  initialAge,
  varyNames,
  varyOf,
} from "../core/origin-answer.ts";
import { fieldsFor, redirectTarget } from "../core/origin-request.ts";
import { AtollError } from "../errors.ts";
import type { Clock, Origin, OriginAnswer } from "../ports.ts";
import { isValidated } from "./origin-copies.ts";

const TIMEOUT_MS = 30_000;
const REDIRECTS_MAX = 3;
/** Redirects that say that tomorrow they may lead elsewhere: what they led to is fresh only as long as they say they are. */
const FOR_NOW = new Set([302, 303, 307]);

const FORBIDDEN = new Set(["no-store", "private", "authorization", "vary"]);

export interface Question {
  readonly method: "GET" | "HEAD";
  readonly url: string;
  readonly settings: OriginSettings;
  /** `Cache-Control` of answers that come without one, and without `Expires`. */
  readonly cacheControl: string | undefined;
  /** What the origin is shown of the client's request. */
  readonly fields: Fields;
  /** What is sent besides: conditions, and what guards against loops. */
  readonly besides: Fields;
  /** By the monotonic clock, since when an answer is waited for: another question may have gone before. */
  readonly sinceMs: number;
}

export interface Told {
  readonly answer: OriginAnswer;
  /** Without those of the connection. */
  readonly headers: Record<string, string>;
  /** Undefined where it was not announced. */
  readonly sizeBytes: number | undefined;
  /** All but the era, which its place decides. */
  readonly notes: Omit<CopyNotes, "era">;
  /** Undefined: it may be kept. Otherwise why not. */
  readonly unstorable: string | undefined;
}

export class Questions {
  readonly #origin: Origin;
  readonly #clock: Clock;

  constructor(deps: { origin: Origin; clock: Clock }) {
    this.#origin = deps.origin;
    this.#clock = deps.clock;
  }

  /** Rejects with `origin-failed`, `origin-timeout`, `origin-forbidden`, and with `origin-loop` for redirects in a circle. */
  async ask(question: Question): Promise<Told> {
    const { settings, method } = question;
    const partTimeoutMs = settings.timeoutSeconds === undefined ? TIMEOUT_MS : settings.timeoutSeconds * 1000;
    const endMs = question.sinceMs + partTimeoutMs;
    const visited = new Set<string>();
    let { url, fields } = question;
    let freshMaxSeconds: number | undefined;
    let unstorable: string | undefined;
    for (;;) {
      visited.add(url);
      const sentMs = this.#clock.wallMs();
      const answer = await this.#origin.fetch({
        method,
        url,
        headers: { ...fields, ...question.besides },
        headTimeoutMs: Math.max(1, endMs - this.#clock.monotonicMs()),
        partTimeoutMs,
      });
      let isTold = false;
      try {
        const told = this.#read(question, answer, sentMs);
        const target = settings.redirects === "pass"
          ? undefined
          : redirectTarget(url, answer.status, told.headers["location"]);
        // A redirect need not be worth keeping itself, but it may forbid to keep what it leads to.
        if (target === undefined || FORBIDDEN.has(told.unstorable ?? "")) unstorable ??= told.unstorable;
        if (target === undefined) {
          const notes = freshMaxSeconds === undefined ? told.notes : { ...told.notes, freshMaxSeconds };
          isTold = true;
          return { ...told, notes, unstorable };
        }
        mustBeNew(target, visited);
        const said = parsePolicy(told.headers, told.notes.dateMs).freshSeconds ??
          (FOR_NOW.has(answer.status) ? 0 : undefined);
        if (said !== undefined) freshMaxSeconds = Math.min(freshMaxSeconds ?? said, said);
        fields = fieldsFor(url, target, fields);
        url = target;
      } finally {
        // A body that is neither read nor left keeps its connection for good, and there are few.
        if (!isTold) await answer.body.return?.();
      }
    }
  }

  #read({ cacheControl, settings, fields }: Question, answer: OriginAnswer, sentMs: number): Told {
    const receivedMs = this.#clock.wallMs();
    const headers = endToEnd(answer.headers);
    const saysNothing = headers["cache-control"] === undefined && headers["expires"] === undefined;
    if (saysNothing && cacheControl !== undefined) headers["cache-control"] = cacheControl;
    const times = initialAge(fieldOf(answer.headers, "age"), headers["date"], sentMs, receivedMs);
    const names = varyNames(headers["vary"]);
    const notes = { status: answer.status, receivedMs, ...times, vary: varyOf(names ?? [], fields) };
    const sizeBytes = announcedBytes(answer);
    const may = storable(headers, { authorized: fields["authorization"] !== undefined });
    const unstorable = may.kind === "no"
      ? may.reason
      : names === undefined
      ? "vary"
      : answer.status === 206 || answer.status === 304
      ? "status"
      : sizeBytes !== undefined && settings.maxBytes !== undefined && sizeBytes > settings.maxBytes
      ? "size"
      // Without a length and without chunks, a body that was cut short looks like one that ended.
      : sizeBytes === undefined && fieldOf(answer.headers, "transfer-encoding") === undefined
      ? "length"
      : this.#isOfUse(answer.status, headers, times.dateMs)
      ? undefined
      : "freshness";
    return { answer, headers, sizeBytes, notes, unstorable };
  }

  /** Either used for some time without asking, or, being no error, as something to ask whether it still is the same. */
  #isOfUse(status: number, headers: Fields, dateMs: number): boolean {
    const { freshSeconds = 0, staleIfErrorSeconds, staleWhileRevalidateSeconds } = parsePolicy(
      headers,
      dateMs,
    );
    if (freshSeconds > 0 || Math.max(staleIfErrorSeconds, staleWhileRevalidateSeconds) > 0) return true;
    return status === 200 && isValidated(headers);
  }
}

/** Throws where the next question would be one too many. */
function mustBeNew(target: string, visited: ReadonlySet<string>): void {
  if (visited.has(target)) {
    throw new AtollError("origin-loop", `wanted an answer, got a redirect back to ${target}`);
  }
  if (visited.size > REDIRECTS_MAX) {
    throw new AtollError(
      "origin-failed",
      `wanted at most ${REDIRECTS_MAX} redirects, got one more, to ${target}`,
    );
  }
}

function announcedBytes({ status, headers }: OriginAnswer): number | undefined {
  if (status === 204 || status === 304) return 0;
  const text = fieldOf(headers, "content-length");
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
