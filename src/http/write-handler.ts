/** PUT and DELETE of an object. */
import { parseEntityTags, type TagCondition, type WriteConditions } from "../core/precondition.ts";
import type { Name } from "../core/names.ts";
import { headersProblem } from "../core/stored-headers.ts";
import { AtollError, isAtollError } from "../errors.ts";
import type { Buckets } from "../node/bucket-settings.ts";
import type { Conflict, Objects, PutOutcome, WriteTimes } from "../node/objects.ts";
import type { Origins } from "../node/origins.ts";
import { tooLarge, type Upload } from "../node/put-object.ts";
import type { Answer } from "./answer.ts";
import { parseDigestFields, reprDigest } from "./digest-fields.ts";
import { formatHttpDate } from "./http-date.ts";
import { keptHeaders } from "./object-headers.ts";
import { problem } from "./problem.ts";
import type { Quotas, Room } from "./quota.ts";
import type { PublicRequest } from "./request.ts";

const TTL_SECONDS_MAX = 2 ** 31;

export interface WriteHandlerDeps {
  objects: Objects;
  buckets: Buckets;
  origins: Origins;
  quotas: Quotas;
  maxObjectBytes: number;
  onTooLarge: () => void;
  wallMs: () => number;
}

interface WriteTarget {
  readonly bucket: string;
  readonly key: string;
  readonly name: Name;
}

export class WriteHandler {
  readonly #deps: WriteHandlerDeps;

  constructor(deps: WriteHandlerDeps) {
    this.#deps = deps;
  }

  /** Everything that can be refused before the body is refused before the body. `maxBytes`: beside the node's own limit. */
  async put(request: PublicRequest, target: WriteTarget, maxBytes = Infinity): Promise<Answer> {
    try {
      return await this.#put(request, target, maxBytes);
    } catch (error) {
      if (isAtollError(error, "too-large")) this.#deps.onTooLarge();
      throw error;
    }
  }

  async #put(request: PublicRequest, { bucket, key, name }: WriteTarget, maxBytes: number): Promise<Answer> {
    const { buckets, quotas, wallMs } = this.#deps;
    const maxObjectBytes = Math.min(this.#deps.maxObjectBytes, maxBytes);
    const contentRange = request.header("content-range");
    if (contentRange !== undefined) {
      // RFC 9110 section 14.5: a part must never be stored as the whole.
      throw new AtollError(
        "partial-put",
        `wanted the whole content, got Content-Range ${contentRange.slice(0, 80)}`,
      );
    }
    const length = request.header("content-length");
    const sizeBytes = length === undefined
      ? undefined
      : wholeNumber("Content-Length", length, Number.MAX_SAFE_INTEGER);
    if (sizeBytes !== undefined && sizeBytes > maxObjectBytes) {
      throw tooLarge(maxObjectBytes, String(sizeBytes));
    }
    const conditions = writeConditions(request);
    const digests = parseDigestFields(request.header);
    if (digests.kind === "malformed") throw new AtollError("invalid-digest", digests.detail);
    const ttl = request.header("atoll-ttl");
    const ttlGiven = ttl === undefined ? undefined : wholeNumber("Atoll-TTL", ttl, TTL_SECONDS_MAX);
    if (ttlGiven === 0) {
      throw new AtollError("invalid-argument", "wanted Atoll-TTL of 1 second or more, got 0");
    }
    const settings = await buckets.of(bucket);
    const ttlSeconds = ttlGiven ?? settings.ttl;
    const headers = keptHeaders(request, key, settings.cacheControl);
    const tooMuch = headersProblem(headers);
    if (tooMuch !== undefined) throw new AtollError("headers-too-large", tooMuch);
    const trace = request.trace.header;
    const room = settings.quota && await quotas.take({ bucket, name }, settings.quota, sizeBytes, trace);
    const outcome = await this.#store(
      {
        name,
        body: room?.filledBy(request.body) ?? request.body,
        sizeBytes,
        maxBytes: maxObjectBytes,
        digests: digests.kind === "wanted" ? digests.digests : [],
        headers,
        expiresMs: ttlSeconds === undefined ? undefined : wallMs() + 1000 * ttlSeconds,
        trace,
      },
      conditions,
      room,
    );
    if (outcome.kind === "conflict") return conflictAnswer(outcome, request.id);
    return {
      status: outcome.created ? 201 : 200,
      headers: {
        ETag: `"${outcome.manifest.sha256}"`,
        "Atoll-Version": String(outcome.version),
        "Repr-Digest": reprDigest(outcome.manifest.sha256),
        ...(outcome.modifiedMs !== undefined && { "Last-Modified": formatHttpDate(outcome.modifiedMs) }),
        "Cache-Control": "no-store",
        "Server-Timing": serverTiming(outcome.took),
      },
    };
  }

  /** Gives back what room was taken and not used. */
  async #store(upload: Upload, conditions: WriteConditions, room: Room | undefined): Promise<PutOutcome> {
    let storedBytes: number | undefined;
    try {
      const outcome = await this.#deps.objects.put(upload, conditions);
      if (outcome.kind === "stored") storedBytes = outcome.manifest.size;
      return outcome;
    } finally {
      room?.done(storedBytes);
    }
  }

  async delete(
    request: PublicRequest,
    { bucket, key, name }: WriteTarget,
  ): Promise<Answer> {
    const { buckets, origins } = this.#deps;
    // RFC 9111 section 4.4; before, so that what is answered as deleted is not what the next reader gets.
    if ((await buckets.of(bucket)).origin) await origins.drop(bucket, key, request.trace.header);
    const outcome = await this.#deps.objects.delete(name, writeConditions(request), request.trace.header);
    if (outcome.kind === "conflict") return conflictAnswer(outcome, request.id);
    const headers: Record<string, string> = { "Cache-Control": "no-store" };
    if (outcome.version !== undefined) headers["Atoll-Version"] = String(outcome.version);
    return { status: 204, headers };
  }
}

/** W3C Server Timing. */
function serverTiming({ bodyMs, registerMs, trips }: WriteTimes): string {
  const desc = `${trips} round ${trips === 1 ? "trip" : "trips"}`;
  return `body;dur=${bodyMs.toFixed(2)}, register;dur=${registerMs.toFixed(2)};desc="${desc}"`;
}

export function conflictAnswer({ detail, current }: Conflict, requestId: string): Answer {
  return problem(
    "precondition-failed",
    detail,
    requestId,
    current && { ETag: `"${current.manifest.sha256}"`, "Atoll-Version": String(current.version) },
  );
}

/** Throws `invalid-argument`. */
export function writeConditions(request: PublicRequest): WriteConditions {
  const version = request.header("atoll-if-version");
  return {
    ifMatch: tagCondition("If-Match", request.header("if-match")),
    ifNoneMatch: tagCondition("If-None-Match", request.header("if-none-match")),
    ifVersion: version === undefined
      ? undefined
      : wholeNumber("Atoll-If-Version", version, Number.MAX_SAFE_INTEGER),
  };
}

/** A write whose condition cannot be read must not go through as if it had none. */
function tagCondition(field: string, header: string | undefined): TagCondition | undefined {
  if (header === undefined) return undefined;
  const tags = parseEntityTags(header);
  if (tags === undefined) {
    throw new AtollError(
      "invalid-argument",
      `wanted ${field} as * or quoted entity-tags, got ${header.slice(0, 80)}`,
    );
  }
  return tags;
}

function wholeNumber(field: string, text: string, max: number): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (!(value <= max)) {
    throw new AtollError(
      "invalid-argument",
      `wanted ${field} as a whole number up to ${max}, got ${text.slice(0, 40)}`,
    );
  }
  return value;
}
