/** GET and HEAD of an object. */
import { type RequestDirectives } from "../core/freshness.ts";
import type { Name } from "../core/names.ts";
import { checkRead, ifRangeApplies, readCondition } from "../core/precondition.ts";
import { type ByteRange, parseRange } from "../core/range.ts";
import type { Random } from "../ports.ts";
import type { Buckets } from "../node/bucket-settings.ts";
import type { ContentSource, OpenContent } from "../node/content.ts";
import type { Knowledge, Located, Objects, ObjectVersion } from "../node/objects.ts";
import type { Answer } from "./answer.ts";
import { cacheStatus, structuredString } from "./cache-status.ts";
import { parseHttpDate } from "./http-date.ts";
import { planMultipart } from "./multipart-ranges.ts";
import { objectHeaders } from "./object-headers.ts";
import type { ObjectTarget, OriginHandler } from "./origin-handler.ts";
import { problem } from "./problem.ts";
import type { PublicRequest } from "./request.ts";
import type { SendingOn } from "./sending-on.ts";

/** This cache's name in `Cache-Status`. */
const CACHE = "atoll";

export interface GetHandlerDeps {
  objects: Objects;
  buckets: Buckets;
  origins: OriginHandler;
  random: Random;
  sendingOn: SendingOn;
  wallMs: () => number;
  onTooManyRanges: () => void;
}

export class GetHandler {
  readonly #deps: GetHandlerDeps;

  constructor(deps: GetHandlerDeps) {
    this.#deps = deps;
  }

  /** Where memory says which version may be used; undefined where somebody has to be asked. */
  atHand(
    request: PublicRequest,
    target: ObjectTarget,
    directives: RequestDirectives,
  ): Answer | Promise<Answer> | undefined {
    const { objects, buckets, origins } = this.#deps;
    const located = objects.peek(target.name, directives);
    if (located?.kind === "found") return this.#answer(request, target.name, located);
    // Not asked for here: whether the request may have anything asked is for who calls to say.
    const settings = buckets.isAtHand(target.bucket) ? buckets.of(target.bucket) : undefined;
    if (!settings || settings instanceof Promise) return undefined;
    const copy = origins.peek(request, target, settings, directives);
    if (copy) return copy;
    return located && !settings.origin ? this.#answer(request, target.name, located) : undefined;
  }

  async handle(
    request: PublicRequest,
    target: ObjectTarget,
    directives: RequestDirectives,
  ): Promise<Answer> {
    const { objects, buckets, origins } = this.#deps;
    const settings = buckets.of(target.bucket);
    if (settings instanceof Promise) settings.catch(() => {}); // needed only where nothing is stored
    const located = await objects.locate(target.name, directives, request.trace.header);
    const elsewhere = located.kind === "absent"
      ? await origins.answer(request, target, await settings, directives)
      : undefined;
    return elsewhere ?? await this.#answer(request, target.name, located);
  }

  #answer(request: PublicRequest, name: Name, located: Located): Answer | Promise<Answer> {
    if (located.kind === "not-cached") {
      return problem(
        "not-cached",
        "only-if-cached was asked for, and it is not here to use unasked",
        request.id,
      );
    }
    if (located.kind === "absent") {
      const version: Record<string, string> = located.version > 0
        ? { "Atoll-Version": String(located.version) }
        : {};
      return problem("not-found", "there is no object of that key in that bucket", request.id, version);
    }
    const { object, known } = located;
    const headers = objectHeaders(object, this.#deps.objects.policyOf(object));
    const conditional = this.#conditional(request, object, known, headers);
    const sentOn = conditional ?? this.#deps.sendingOn.answer(request, name, object);
    if (sentOn) return sentOn;
    if (request.method === "HEAD") {
      return {
        status: 200,
        headers: {
          ...headers,
          "Content-Length": String(object.manifest.size),
          ...cacheHeaders(known, undefined),
        },
      };
    }
    const range = request.header("range");
    if (range !== undefined) return this.#ranged(request, name, object, known, headers, range);
    const inMemory = object.manifest.chunks.length <= 1 ? this.#deps.objects.peekContent(object) : undefined;
    if (inMemory) {
      return {
        status: 200,
        headers: withCache(headers, known, object.manifest.layout === "inline"),
        body: inMemory,
      };
    }
    return this.#whole(request, name, object, known, headers);
  }

  /** RFC 9110 section 13.2.2; a 412 and a 304 both say which version they speak of. */
  #conditional(
    request: PublicRequest,
    object: ObjectVersion,
    known: Knowledge,
    headers: Readonly<Record<string, string>>,
  ): Answer | undefined {
    const ifMatch = request.header("if-match");
    const ifNoneMatch = request.header("if-none-match");
    const since = request.header("if-modified-since");
    const unmodified = request.header("if-unmodified-since");
    if (
      ifMatch === undefined && ifNoneMatch === undefined && since === undefined && unmodified === undefined
    ) {
      return undefined;
    }
    const now = this.#deps.wallMs();
    const check = checkRead({
      ifMatch: readCondition(ifMatch),
      ifNoneMatch: readCondition(ifNoneMatch),
      ifModifiedSinceMs: parseHttpDate(since, now),
      ifUnmodifiedSinceMs: parseHttpDate(unmodified, now),
    }, { sha256: object.manifest.sha256, modifiedMs: object.modifiedMs });
    if (check === "not-modified") {
      return { status: 304, headers: { ...headers, ...cacheHeaders(known, undefined) } };
    }
    if (check === "proceed") return undefined;
    return problem("precondition-failed", `the current ETag is ${headers["ETag"]}`, request.id, {
      ETag: headers["ETag"]!,
      "Atoll-Version": headers["Atoll-Version"]!,
    });
  }

  async #whole(
    request: PublicRequest,
    name: Name,
    object: ObjectVersion,
    known: Knowledge,
    headers: Readonly<Record<string, string>>,
  ): Promise<Answer> {
    const { size } = object.manifest;
    const content = await this.#deps.objects.open(
      name,
      object,
      0,
      Math.max(0, size - 1),
      request.trace.header,
    );
    return {
      status: 200,
      headers: { ...headers, "Content-Length": String(size), ...cacheHeaders(known, content) },
      body: content.bytes,
    };
  }

  async #ranged(
    request: PublicRequest,
    name: Name,
    object: ObjectVersion,
    known: Knowledge,
    headers: Readonly<Record<string, string>>,
    range: string,
  ): Promise<Answer> {
    const { size, sha256 } = object.manifest;
    const ifRange = request.header("if-range");
    const applies = ifRange === undefined || ifRangeApplies(ifRange, { sha256 });
    const wanted = applies ? parseRange(range, size) : { kind: "whole" as const };
    if (wanted.kind === "whole") {
      if (wanted.isTooMany) this.#deps.onTooManyRanges();
      return this.#whole(request, name, object, known, headers);
    }
    if (wanted.kind === "unsatisfiable") {
      return problem(
        "range-not-satisfiable",
        `wanted a range within ${size} bytes, got ${range.slice(0, 80)}`,
        request.id,
        {
          "Content-Range": `bytes */${size}`,
          "Atoll-Version": headers["Atoll-Version"]!,
        },
      );
    }
    const [first] = wanted.ranges;
    if (wanted.ranges.length > 1) {
      return this.#multipart(request, name, object, known, headers, wanted.ranges);
    }
    const content = await this.#deps.objects.open(
      name,
      object,
      first!.first,
      first!.last,
      request.trace.header,
    );
    return {
      status: 206,
      headers: {
        ...headers,
        "Content-Range": `bytes ${first!.first}-${first!.last}/${size}`,
        "Content-Length": String(first!.last - first!.first + 1),
        ...cacheHeaders(known, content),
      },
      body: content.bytes,
    };
  }

  async #multipart(
    request: PublicRequest,
    name: Name,
    object: ObjectVersion,
    known: Knowledge,
    headers: Readonly<Record<string, string>>,
    ranges: readonly ByteRange[],
  ): Promise<Answer> {
    const { objects, random } = this.#deps;
    const trace = request.trace.header;
    const plan = planMultipart({
      boundary: random.hex(16),
      contentType: headers["Content-Type"],
      sizeBytes: object.manifest.size,
      ranges,
    });
    const begin = await objects.open(name, object, ranges[0]!.first, ranges[0]!.last, trace);
    async function* body(): AsyncGenerator<Uint8Array> {
      try {
        for (const [i, { head, range }] of plan.parts.entries()) {
          yield head;
          yield* (i === 0 ? begin : await objects.open(name, object, range.first, range.last, trace)).bytes;
        }
      } finally {
        await begin.bytes.return?.(); // whoever left at the first head never came to it
      }
      yield plan.tail;
    }
    return {
      status: 206,
      headers: {
        ...headers,
        "Content-Type": plan.contentType,
        "Content-Length": String(plan.totalBytes),
        ...cacheHeaders(known, begin),
      },
      body: body(),
    };
  }
}

/** Content that came within the answers of those who were asked for the version. */
const BROUGHT = { kind: "fetched", detail: "with the version" } as const;

/** One object spread instead of two, for the hottest answer of all. */
function withCache(
  headers: Readonly<Record<string, string>>,
  known: Knowledge,
  isInline: boolean,
): Record<string, string> {
  const all: Record<string, string> = { ...headers };
  if (known.kind === "fresh") {
    all["Age"] = String(Math.floor(known.ageMs / 1000));
    all["Cache-Status"] = cacheStatus(CACHE, { kind: "hit", ttlSeconds: known.ttlSeconds, tier: "memory" });
    all["Server-Timing"] = "memory";
  } else {
    all["Cache-Status"] = cacheStatus(
      CACHE,
      isInline && !known.held ? BROUGHT : { kind: "asked", forced: known.forced, tier: "memory" },
    );
    all["Server-Timing"] = `${askTiming(known)}, memory`;
  }
  return all;
}

/** `content` is undefined where no bytes were needed. */
function cacheHeaders(known: Knowledge, content: OpenContent | undefined): Record<string, string> {
  const { tier, from, stored, collapsed } = content?.source ?? {};
  const isBrought = tier === "version" && known.kind === "asked" && !known.held;
  const place = tier === "version" ? "memory" : tier;
  const timing = serverTiming(known, content?.source);
  const headers: Record<string, string> = timing === "" ? {} : { "Server-Timing": timing };
  if (known.kind === "fresh") headers["Age"] = String(Math.floor(known.ageMs / 1000));
  headers["Cache-Status"] = tier === "peer" || tier === "region"
    ? cacheStatus(CACHE, {
      kind: "fetched",
      detail: `chunk from ${from}${tier === "region" ? ", for this region" : ""}`,
      stored,
      collapsed,
    })
    : isBrought
    ? cacheStatus(CACHE, BROUGHT)
    : known.kind === "fresh"
    ? cacheStatus(CACHE, { kind: "hit", ttlSeconds: known.ttlSeconds, tier: place })
    : cacheStatus(CACHE, { kind: "asked", forced: known.forced, tier: place });
  return headers;
}

/** The steps in their order, with ms (W3C Server Timing): the version's, the index chunk's, the first chunk's and from where. */
function serverTiming(known: Knowledge, source: ContentSource | undefined): string {
  const steps = known.kind === "asked" ? [askTiming(known)] : [];
  if (source?.indexMs !== undefined) steps.push(`index;dur=${source.indexMs.toFixed(2)}`);
  if (source) {
    const took = source.tookMs === undefined ? "" : `;dur=${source.tookMs.toFixed(2)}`;
    const from = source.from === undefined ? "" : `;desc=${structuredString(source.from)}`;
    steps.push(source.tier + took + from);
  }
  return steps.join(", ");
}

function askTiming({ tookMs, catalogMs }: Knowledge & { kind: "asked" }): string {
  const catalog = catalogMs === undefined ? "" : `catalog;dur=${catalogMs.toFixed(2)}, `;
  return `${catalog}ask;dur=${tookMs.toFixed(2)}`;
}
