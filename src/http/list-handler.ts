/** Listings of a bucket's objects and of the buckets. */
import { KEY_BYTES_MAX, objectName, splitName, utf8Length } from "../core/names.ts";
import { AtollError } from "../errors.ts";
import type { Listings } from "../node/list-objects.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import type { PublicRequest } from "./request.ts";

const LIMIT_MAX = 1_000;
const OF_OBJECTS = ["prefix", "delimiter", "limit", "after"];

export class ListHandler {
  readonly #listings: Listings;
  readonly #onTooLarge: () => void;

  /** `onTooLarge`: told of who wanted more at once than there may be. */
  constructor(listings: Listings, onTooLarge: () => void) {
    this.#listings = listings;
    this.#onTooLarge = onTooLarge;
  }

  async objects(request: PublicRequest, bucket: string, query: string): Promise<Answer> {
    const asked = parseQuery(query, OF_OBJECTS);
    const page = await this.#listings.list({
      prefix: objectName(bucket, asked["prefix"] ?? ""),
      after: asked["after"] ? objectName(bucket, asked["after"]) : "",
      delimiter: asked["delimiter"],
      limit: parseLimit(asked["limit"], this.#onTooLarge),
      trace: request.trace.header,
    });
    return jsonAnswer(200, {
      objects: page.objects.map(({ name, version, object }) => ({
        key: splitName(name).key,
        size: object!.size,
        etag: `"${object!.sha256}"`,
        version,
        lastModified: new Date(object!.modifiedMs).toISOString(),
        contentType: object!.contentType,
      })),
      prefixes: page.prefixes.map((name) => splitName(name).key),
      next: page.next === null ? null : splitName(page.next).key,
    }, { "Cache-Control": "no-cache" });
  }

  /**
   * Buckets are what stands before the first NUL of the names: to the listing, common prefixes. `shown`: the only ones that
   * whoever asks may see, in order.
   */
  async buckets(request: PublicRequest, query: string, shown?: readonly string[]): Promise<Answer> {
    const asked = parseQuery(query, ["prefix", "limit", "after"]);
    if (shown) return await this.#someBuckets(request, asked, shown);
    const page = await this.#listings.list({
      prefix: asked["prefix"] ?? "",
      after: asked["after"] ? objectName(asked["after"], "") : "",
      delimiter: "\0",
      limit: parseLimit(asked["limit"], this.#onTooLarge),
      trace: request.trace.header,
    });
    const buckets = page.prefixes.map((name) => ({ name: splitName(name).bucket }));
    return bucketsAnswer(buckets, page.next === null ? null : splitName(page.next).bucket);
  }

  /** Each is looked for by itself: a page of all buckets would tell, by where it ends, of one that may not be seen. */
  async #someBuckets(
    request: PublicRequest,
    asked: Record<string, string | undefined>,
    shown: readonly string[],
  ): Promise<Answer> {
    const limit = parseLimit(asked["limit"], this.#onTooLarge);
    const { prefix = "", after = "" } = asked;
    const buckets: { name: string }[] = [];
    for (const name of shown) {
      if (!name.startsWith(prefix) || name <= after) continue;
      const { objects } = await this.#listings.list({
        prefix: objectName(name, ""),
        after: "",
        delimiter: undefined,
        limit: 1,
        trace: request.trace.header,
      });
      if (objects.length === 0) continue;
      if (buckets.length === limit) return bucketsAnswer(buckets, buckets.at(-1)!.name);
      buckets.push({ name });
    }
    return bucketsAnswer(buckets, null);
  }
}

function bucketsAnswer(buckets: readonly { name: string }[], next: string | null): Answer {
  return jsonAnswer(200, { buckets, next }, { "Cache-Control": "no-cache" });
}

/** Of a bucket's listing, all of whose keys begin with it. Throws `invalid-argument`. */
export function listedPrefix(query: string): string {
  return parseQuery(query, OF_OBJECTS)["prefix"] ?? "";
}

/** Throws `invalid-argument`, as `parseQuery` does. */
export function parseLimit(text: string | undefined, onTooLarge = () => {}): number {
  if (text === undefined) return LIMIT_MAX;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (limit > LIMIT_MAX) onTooLarge();
  if (!(limit >= 1 && limit <= LIMIT_MAX)) {
    throw new AtollError("invalid-argument", `wanted limit from 1 to ${LIMIT_MAX}, got ${text.slice(0, 40)}`);
  }
  return limit;
}

/** An unknown parameter is more likely a mistake than a wish to be ignored. */
export function parseQuery(query: string, known: readonly string[]): Record<string, string | undefined> {
  const asked: Record<string, string | undefined> = {};
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals === -1 ? pair : pair.slice(0, equals));
    if (!known.includes(name)) {
      throw new AtollError("invalid-argument", `wanted ${known.join(", ")}, got ${name.slice(0, 40)}`);
    }
    if (asked[name] !== undefined) {
      throw new AtollError("invalid-argument", `wanted ${name} once, got it twice`);
    }
    const value = equals === -1 ? "" : decode(pair.slice(equals + 1));
    if (name === "prefix" || name === "after") mustFitKey(name, value);
    asked[name] = value;
  }
  return asked;
}

/** What is longer than any key could be is nothing that other nodes can be asked. Throws `invalid-argument`. */
export function mustFitKey(what: string, text: string): void {
  const bytes = utf8Length(text);
  if (bytes <= KEY_BYTES_MAX) return;
  throw new AtollError(
    "invalid-argument",
    `wanted at most ${KEY_BYTES_MAX} bytes of UTF-8 as ${what}, got ${bytes}`,
  );
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new AtollError(
      "invalid-argument",
      "wanted percent-escapes of well-formed UTF-8 in the query, got a broken one",
    );
  }
}
