/** GET and HEAD of what a bucket's origin has. */
import type { BucketSettings } from "../core/bucket-settings.ts";
import type { RequestDirectives } from "../core/freshness.ts";
import type { Name } from "../core/names.ts";
import { ageSeconds, type Fields } from "../core/origin-answer.ts";
import { checkRead, ifRangeApplies, readCondition } from "../core/precondition.ts";
import { type ByteRange, parseRange } from "../core/range.ts";
import type { Objects } from "../node/objects.ts";
import type { FromCopy, FromOrigin, OriginBucket, OriginRead } from "../node/origin-outcomes.ts";
import type { Origins } from "../node/origins.ts";
import type { Answer } from "./answer.ts";
import { cacheStatus, originStatus } from "./cache-status.ts";
import { parseHttpDate } from "./http-date.ts";
import { CACHE, joined, sentHeaders, withoutContentDigests } from "./origin-headers.ts";
import { problem } from "./problem.ts";
import type { PublicRequest } from "./request.ts";

export interface ObjectTarget {
  readonly bucket: string;
  readonly key: string;
  readonly name: Name;
}

export interface OriginHandlerDeps {
  objects: Objects;
  origins: Origins;
  wallMs: () => number;
}

/** What is sent, wherever it comes from. */
interface Representation {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly sizeBytes: number | undefined;
  /** Bytes `first` to `last`, both included; all of them without. */
  readonly open: (range?: ByteRange) => NonNullable<Answer["body"]> | Promise<AsyncIterable<Uint8Array>>;
  /** Nobody wants its bytes. */
  readonly leave: () => void;
}

export class OriginHandler {
  readonly #deps: OriginHandlerDeps;

  constructor(deps: OriginHandlerDeps) {
    this.#deps = deps;
  }

  /** What may be answered without asking anybody. */
  peek(
    request: PublicRequest,
    target: ObjectTarget,
    settings: BucketSettings,
    directives: RequestDirectives,
  ): Promise<Answer> | undefined {
    if (!settings.origin) return undefined;
    const copy = this.#deps.origins.peek(readOf(request, target, directives), settings.origin);
    return copy && this.#send(request, this.#ofCopy(copy, settings, directives, request.trace.header));
  }

  /** Where clients stored nothing; undefined where there is no origin, or it cannot have such a key. */
  async answer(
    request: PublicRequest,
    target: ObjectTarget,
    settings: BucketSettings,
    directives: RequestDirectives,
  ): Promise<Answer | undefined> {
    if (!hasOrigin(settings)) return undefined;
    const outcome = await this.#deps.origins.read(readOf(request, target, directives), settings);
    switch (outcome.kind) {
      case "absent":
        return undefined;
      case "not-cached":
        return problem(
          "not-cached",
          "only-if-cached was asked for, and it is not here to use unasked",
          request.id,
        );
      case "copy":
        return await this.#send(request, this.#ofCopy(outcome, settings, directives, request.trace.header));
      case "stream":
        return await this.#send(request, ofStream(outcome, settings));
    }
  }

  #ofCopy(
    found: FromCopy,
    { website: isWebsite = false }: BucketSettings,
    directives: RequestDirectives,
    trace: string | undefined,
  ): Representation {
    const { copy, how, ageMs, ttlSeconds, collapsed } = found;
    const { notes, headers, object, name } = copy;
    const { size } = object.manifest;
    const forced = directives.noCache || directives.maxAgeSeconds === 0;
    const status = how === "hit"
      ? cacheStatus(CACHE, { kind: "hit", ttlSeconds })
      : how === "stale-if-error"
      ? cacheStatus(CACHE, { kind: "hit", ttlSeconds: Math.min(-1, ttlSeconds), tier: how })
      : originStatus(CACHE, {
        fwd: how === "fetched" ? "uri-miss" : forced ? "request" : "stale",
        status: how === "fetched" ? notes.status : 304,
        collapsed,
      });
    return {
      status: notes.status,
      headers: {
        ...sentHeaders(headers, { status: notes.status, dateMs: notes.dateMs, isWebsite }),
        Age: String(ageSeconds(ageMs)),
        "Cache-Status": joined(headers["cache-status"], status),
      },
      sizeBytes: size,
      leave: () => {},
      open: (range) => {
        const { objects } = this.#deps;
        const inMemory = range === undefined ? objects.peekContent(object) : undefined;
        const { first, last } = range ?? { first: 0, last: Math.max(0, size - 1) };
        return inMemory ?? objects.open(name, object, first, last, trace).then(({ bytes }) => bytes);
      },
    };
  }

  /** RFC 9110 section 13.2.2, then the range, then all of it. */
  async #send(request: PublicRequest, found: Representation): Promise<Answer> {
    const { status, headers, sizeBytes } = found;
    const isHead = request.method === "HEAD";
    const check = status === 200 ? this.#conditional(request, headers) : "proceed";
    if (check !== "proceed") {
      found.leave();
      if (check === "not-modified") return { status: 304, headers };
      const etag = headers["ETag"] ?? "none";
      return problem("precondition-failed", `the current ETag is ${etag}`, request.id, { ETag: etag });
    }
    const hasBody = status !== 204 && status !== 304;
    const whole = {
      ...headers,
      ...(hasBody && sizeBytes !== undefined && { "Content-Length": String(sizeBytes) }),
    };
    if (isHead || !hasBody) {
      found.leave();
      return { status, headers: whole };
    }
    const range = status === 200 && sizeBytes !== undefined
      ? this.#range(request, headers, sizeBytes)
      : undefined;
    if (range === "unsatisfiable") {
      found.leave();
      return problem("range-not-satisfiable", `wanted a range within ${sizeBytes} bytes`, request.id, {
        "Content-Range": `bytes */${sizeBytes}`,
      });
    }
    if (!range) return { status, headers: whole, body: await found.open() };
    const { first, last } = range;
    return {
      status: 206,
      headers: {
        ...withoutContentDigests(headers),
        "Content-Range": `bytes ${first}-${last}/${sizeBytes}`,
        "Content-Length": String(last - first + 1),
      },
      body: await found.open(range),
    };
  }

  #conditional(request: PublicRequest, headers: Fields): ReturnType<typeof checkRead> {
    const now = this.#deps.wallMs();
    const { tag, isWeak } = tagOf(headers);
    const matched = readCondition(request.header("if-match"));
    // Section 8.8.3.2: a weak tag equals none in a strong comparison.
    if (matched !== undefined && matched !== "*" && isWeak) return "failed";
    const modifiedMs = parseHttpDate(headers["Last-Modified"], now);
    const since = modifiedMs === undefined
      ? undefined
      : parseHttpDate(request.header("if-modified-since"), now);
    const unmodified = parseHttpDate(request.header("if-unmodified-since"), now);
    return checkRead({
      ifMatch: matched,
      ifNoneMatch: readCondition(request.header("if-none-match")),
      ifModifiedSinceMs: since,
      ifUnmodifiedSinceMs: modifiedMs === undefined ? undefined : unmodified,
    }, { sha256: tag, modifiedMs: modifiedMs ?? 0 });
  }

  /** Several ranges at once get the whole, which is always right; undefined: so does what cannot be read. */
  #range(
    request: PublicRequest,
    headers: Fields,
    sizeBytes: number,
  ): ByteRange | "unsatisfiable" | undefined {
    const ifRange = request.header("if-range");
    const { tag, isWeak } = tagOf(headers);
    if (ifRange !== undefined && (isWeak || !ifRangeApplies(ifRange, { sha256: tag }))) return undefined;
    const wanted = parseRange(request.header("range"), sizeBytes);
    if (wanted.kind === "unsatisfiable") return wanted.kind;
    return wanted.kind === "ranges" && wanted.ranges.length === 1 ? wanted.ranges[0] : undefined;
  }
}

function ofStream(found: FromOrigin, { website: isWebsite = false }: BucketSettings): Representation {
  const { status, headers, dateMs, ageMs, sizeBytes, reader, stored, collapsed, wasHeld } = found;
  const forward = originStatus(CACHE, { fwd: wasHeld ? "stale" : "uri-miss", status, stored, collapsed });
  return {
    status,
    headers: {
      ...sentHeaders(headers, { status, dateMs, isWebsite }),
      // Of an answer that was in a cache before it came here.
      ...(ageSeconds(ageMs) > 0 && { Age: String(ageSeconds(ageMs)) }),
      "Cache-Status": joined(headers["cache-status"], forward),
    },
    sizeBytes,
    leave: () => reader.leave(),
    open: (range) => range ? slice(reader.bytes(), range) : reader.bytes(),
  };
}

/** Without quotes; no tag at all equals none. */
function tagOf(headers: Fields): { tag: string; isWeak: boolean } {
  const [, weak, tag] = /^(W\/)?"(.*)"$/s.exec(headers["ETag"] ?? "") ?? [];
  return { tag: tag ?? "\0", isWeak: weak !== undefined };
}

async function* slice(
  parts: AsyncIterable<Uint8Array>,
  { first, last }: ByteRange,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const part of parts) {
    const from = Math.max(0, first - at);
    const to = Math.min(part.length, last + 1 - at);
    at += part.length;
    if (to > from) yield part.subarray(from, to);
    if (at > last) return;
  }
}

function readOf(
  request: PublicRequest,
  { bucket, key }: ObjectTarget,
  directives: RequestDirectives,
): OriginRead {
  return {
    bucket,
    key,
    method: request.method === "HEAD" ? "HEAD" : "GET",
    header: request.header,
    directives,
    trace: request.trace.header,
  };
}

function hasOrigin(settings: BucketSettings): settings is OriginBucket {
  return settings.origin !== undefined;
}
