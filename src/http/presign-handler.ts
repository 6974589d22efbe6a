/** `POST /_/presign`: a URL that lets whoever has it do one thing of those that the key which asks may do. */
import { z } from "zod";
import { isAllowed } from "../core/access.ts";
import { bucketProblem, keyProblem, objectPath } from "../core/names.ts";
import {
  PRESIGN_SECONDS_MAX,
  PRESIGNED_ACTION,
  PRESIGNED_METHODS,
  presignedQuery,
  presignProblem,
} from "../core/presign.ts";
import { AtollError } from "../errors.ts";
import type { Key, Keys } from "../node/keys.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import type { Manner } from "./credentials.ts";
import { jsonBody } from "./json-body.ts";
import type { PublicRequest } from "./request.ts";

const BODY_BYTES_MAX = 16 << 10;
const SECONDS_DEFAULT = 3_600;

const wanted = z.strictObject({
  method: z.enum(PRESIGNED_METHODS).default("GET"),
  bucket: z.string().max(64),
  key: z.string(),
  expiresIn: z.int().min(1).max(PRESIGN_SECONDS_MAX).default(SECONDS_DEFAULT),
  maxBytes: z.int().nonnegative().optional(),
  contentType: z.string().optional(),
});

export interface PresignDeps {
  readonly keys: Keys<Manner>;
  readonly wallMs: () => number;
  /** Of this node. */
  readonly publicUrl: () => string;
}

/** Throws `forbidden` for what the key may not do itself. */
export async function handlePresign(request: PublicRequest, key: Key, deps: PresignDeps): Promise<Answer> {
  const { method, bucket, key: object, expiresIn, maxBytes, contentType } = await jsonBody(
    request,
    wanted,
    BODY_BYTES_MAX,
  );
  const bucketIssue = bucketProblem(bucket);
  if (bucketIssue !== undefined) throw new AtollError("invalid-bucket", bucketIssue);
  const keyIssue = object.isWellFormed() ? keyProblem(object) : "wanted a key in well-formed Unicode";
  if (keyIssue !== undefined) throw new AtollError("invalid-key", keyIssue);
  const expires = Math.floor(deps.wallMs() / 1000) + expiresIn;
  const presigned = { keyId: key.id, expires, maxBytes, contentType };
  const problem = presignProblem(method, presigned);
  if (problem !== undefined) throw new AtollError("invalid-argument", problem);
  const need = { action: PRESIGNED_ACTION[method], bucket, key: object };
  if (!isAllowed(need, key.grants)) {
    throw new AtollError("forbidden", "the key has no grant for what it would sign");
  }
  const path = objectPath(bucket, object);
  const signature = deps.keys.sign(key, method, path, presigned);
  const url = `${deps.publicUrl()}${path}?${presignedQuery(presigned, signature)}`;
  return jsonAnswer(200, { url, method, expires });
}
