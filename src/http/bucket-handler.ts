/** `/_/buckets…`: what is set of buckets. */
import { bucketProblem, decodeOnce } from "../core/names.ts";
import { checkRead, parseEntityTags } from "../core/precondition.ts";
import { AtollError } from "../errors.ts";
import type { Buckets } from "../node/bucket-settings.ts";
import { DOCUMENT_BYTES_MAX } from "../node/ring-documents.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import { bucketSettingsForm } from "./bucket-settings-form.ts";
import { jsonBody } from "./json-body.ts";
import { parseLimit, parseQuery } from "./list-handler.ts";
import { problem } from "./problem.ts";
import type { PublicRequest } from "./request.ts";
import { conflictAnswer, writeConditions } from "./write-handler.ts";

const PAGE = "/_/buckets";

/** What may be asked of the page; undefined for one that is none of these. */
export function allowOfBuckets(path: string): string | undefined {
  if (path === PAGE) return "GET, HEAD, OPTIONS";
  return path.startsWith(`${PAGE}/`) ? "GET, HEAD, PUT, DELETE, OPTIONS" : undefined;
}

/** Undefined for a method that the page does not know. */
export function handleBuckets(
  request: PublicRequest,
  path: string,
  query: string,
  buckets: Buckets,
): Promise<Answer> | undefined {
  const reads = request.method === "GET" || request.method === "HEAD";
  if (path === PAGE) return reads ? list(request, query, buckets) : undefined;
  const bucket = bucketOf(path.slice(PAGE.length + 1));
  if (reads) return read(request, bucket, buckets);
  if (request.method === "PUT") return write(request, bucket, buckets);
  return request.method === "DELETE" ? remove(request, bucket, buckets) : undefined;
}

/** Throws `invalid-bucket`. */
function bucketOf(text: string): string {
  const bucket = decodeOnce(text) ?? text;
  const issue = bucketProblem(bucket);
  if (issue !== undefined) throw new AtollError("invalid-bucket", issue);
  return bucket;
}

async function list(request: PublicRequest, query: string, { documents }: Buckets): Promise<Answer> {
  const asked = parseQuery(query, ["prefix", "limit", "after"]);
  const page = await documents.list({
    prefix: asked["prefix"] ?? "",
    after: asked["after"] ?? "",
    limit: parseLimit(asked["limit"]),
    ...(request.trace.header !== undefined && { trace: request.trace.header }),
  });
  return jsonAnswer(200, {
    buckets: page.documents.map(({ id, version, value }) => ({ name: id, version, settings: value })),
    next: page.next,
  });
}

async function read(request: PublicRequest, bucket: string, { documents }: Buckets): Promise<Answer> {
  const found = await documents.read(bucket, request.trace.header);
  if (!found) return problem("not-found", `nothing is set of bucket ${bucket}`, request.id);
  const headers = { ...headersOf(found), "Cache-Control": "no-cache" };
  const ifNoneMatch = request.header("if-none-match");
  const known = ifNoneMatch === undefined ? undefined : parseEntityTags(ifNoneMatch);
  if (
    known && checkRead({ ifNoneMatch: known }, { sha256: found.sha256, modifiedMs: 0 }) === "not-modified"
  ) {
    return { status: 304, headers };
  }
  return jsonAnswer(200, found.value, headers);
}

/** Replaces all of them: who wants to change one reads, changes, and sends what the `ETag` was as `If-Match`. */
async function write(request: PublicRequest, bucket: string, { documents }: Buckets): Promise<Answer> {
  const conditions = writeConditions(request);
  const settings = await jsonBody(request, bucketSettingsForm, DOCUMENT_BYTES_MAX);
  const outcome = await documents.write(bucket, settings, conditions, request.trace.header);
  if (outcome.kind === "conflict") return conflictAnswer(outcome, request.id);
  return jsonAnswer(outcome.created ? 201 : 200, settings, headersOf(outcome));
}

async function remove(request: PublicRequest, bucket: string, { documents }: Buckets): Promise<Answer> {
  const outcome = await documents.delete(bucket, writeConditions(request), request.trace.header);
  if (outcome.kind === "conflict") return conflictAnswer(outcome, request.id);
  return { status: 204, headers: { "Cache-Control": "no-store" } };
}

function headersOf({ sha256, version }: { sha256: string; version: number }): Record<string, string> {
  return { ETag: `"${sha256}"`, "Atoll-Version": String(version) };
}
