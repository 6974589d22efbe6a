/** `POST /_/purge`: objects that caches may not use any more without asking. */
import { z } from "zod";
import { bucketProblem, keyProblem, objectName } from "../core/names.ts";
import type { Purge } from "../core/purge.ts";
import { AtollError } from "../errors.ts";
import type { Buckets } from "../node/bucket-settings.ts";
import { purgeOfCopies } from "../node/origin-copies.ts";
import type { Origins } from "../node/origins.ts";
import type { Purges } from "../node/purges.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import { jsonBody } from "./json-body.ts";
import { mustFitKey } from "./list-handler.ts";
import type { PublicRequest } from "./request.ts";

/** About fifty thousand keys; more are more requests, or a prefix. */
const BODY_BYTES_MAX = 2 << 20;
const TAGS_MAX = 1_000;
const TAG_CHARS_MAX = 256;

const wanted = z.strictObject({
  bucket: z.string().max(64),
  keys: z.array(z.string()).min(1).optional(),
  prefix: z.string().optional(),
  tags: z.array(z.string().min(1).max(TAG_CHARS_MAX)).min(1).max(TAGS_MAX).optional(),
  soft: z.boolean().default(false),
});

export interface PurgeDeps {
  purges: Purges;
  origins: Origins;
  buckets: Buckets;
}

/**
 * 200, and for each node how many objects of those that it had fell under it, or why it could not be told; of a bucket with
 * an origin also how many keys something was kept of, wherever.
 */
export async function handlePurge(request: PublicRequest, deps: PurgeDeps): Promise<Answer> {
  const { purges, origins, buckets } = deps;
  const body = await jsonBody(request, wanted, BODY_BYTES_MAX);
  const purge = purgeOf(body);
  const { bucket, keys = [], prefix, tags = [], soft } = body;
  if (!(await buckets.of(bucket)).origin) {
    const nodes = await purges.everywhere(purge);
    return jsonAnswer(200, { complete: nodes.every((at) => !("error" in at)), nodes });
  }
  const ofCopies = purgeOfCopies(purge);
  // Before, so that nothing that is on its way to any node is kept after all; and after, as who read meanwhile knows it still.
  const before = await purges.everywhere(ofCopies);
  const copies = await origins.purge({ bucket, keys, prefix, tags, soft, trace: request.trace.header });
  const [after, told] = await Promise.all([purges.everywhere(ofCopies), purges.everywhere(purge)]);
  const failed = new Map([...before, ...after].filter((at) => "error" in at).map((at) => [at.node, at]));
  const nodes = told.map((at) => failed.get(at.node) ?? at);
  return jsonAnswer(200, { complete: nodes.every((at) => !("error" in at)), nodes, copies });
}

/** Throws `invalid-argument`, `invalid-bucket` and `invalid-key`. */
function purgeOf({ bucket, keys = [], prefix, tags = [], soft }: z.infer<typeof wanted>): Purge {
  const problem = bucketProblem(bucket);
  if (problem !== undefined) throw new AtollError("invalid-bucket", problem);
  if (keys.length === 0 && prefix === undefined && tags.length === 0) {
    throw new AtollError(
      "invalid-argument",
      'wanted keys, a prefix ("" for the whole bucket) or tags, got none',
    );
  }
  for (const key of keys) {
    const issue = keyProblem(key);
    if (issue !== undefined) throw new AtollError("invalid-key", issue);
  }
  mustFitKey("prefix", prefix ?? "");
  return {
    names: keys.map((key) => objectName(bucket, key)),
    prefixes: prefix === undefined ? [] : [objectName(bucket, prefix)],
    tagged: tags.map((tag) => ({ bucket, tag })),
    soft,
  };
}
