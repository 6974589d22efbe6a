/** `POST /_/prewarm`: objects into the caches of a region. The answer is a line of JSON a second, and one at the end. */
import { z } from "zod";
import { bucketProblem, keyProblem, objectName, splitName } from "../core/names.ts";
import { AtollError } from "../errors.ts";
import type { AtollNode } from "../node/node.ts";
import type { Prewarm, PrewarmRun } from "../node/prewarms.ts";
import { within } from "../node/waiting.ts";
import type { Clock } from "../ports.ts";
import type { Answer } from "./answer.ts";
import { jsonBody } from "./json-body.ts";
import { mustFitKey } from "./list-handler.ts";
import type { PublicRequest } from "./request.ts";

/** About fifty thousand keys; more are more requests, or a prefix. */
const BODY_BYTES_MAX = 2 << 20;
const PROGRESS_MS = 1_000;

const wanted = z.strictObject({
  bucket: z.string().max(64),
  keys: z.array(z.string()).min(1).optional(),
  prefix: z.string().optional(),
  region: z.string().min(1).max(64).optional(),
});

const ENCODER = new TextEncoder();

/** 200, and the work goes on for as long as the client listens. */
export async function handlePrewarm(request: PublicRequest, node: AtollNode, clock: Clock): Promise<Answer> {
  const prewarm = prewarmOf(await jsonBody(request, wanted, BODY_BYTES_MAX), node.card().region);
  if (!node.prewarms.reaches(prewarm.region)) {
    throw new AtollError(
      "invalid-argument",
      `wanted a region with a node that is alive, got ${prewarm.region}`,
    );
  }
  return {
    status: 200,
    headers: { "Content-Type": "application/x-ndjson", "Cache-Control": "no-store" },
    body: lines(node, prewarm, clock),
  };
}

async function* lines(node: AtollNode, prewarm: Prewarm, clock: Clock): AsyncGenerator<Uint8Array> {
  const over = new AbortController();
  const run = node.prewarms.run(prewarm, over.signal);
  try {
    // The first line at once: whoever waits for it knows that the work has begun.
    yield line(run, false);
    while (!await within(clock, PROGRESS_MS, run.over.then(() => true))) yield line(run, false);
    yield line(run, true);
  } finally {
    // The client has all, or has gone.
    over.abort();
  }
}

function line(run: PrewarmRun, done: boolean): Uint8Array {
  const { faults, ...progress } = run.progress;
  const named = faults.map(({ name, reason }) => ({ key: splitName(name).key, reason }));
  const last = { complete: progress.failed === 0, faults: named };
  return ENCODER.encode(`${JSON.stringify({ done, ...progress, ...(done && last) })}\n`);
}

/** Throws `invalid-argument`, `invalid-bucket` and `invalid-key`. */
function prewarmOf({ bucket, keys = [], prefix, region }: z.infer<typeof wanted>, here: string): Prewarm {
  const problem = bucketProblem(bucket);
  if (problem !== undefined) throw new AtollError("invalid-bucket", problem);
  if (keys.length === 0 && prefix === undefined) {
    throw new AtollError("invalid-argument", 'wanted keys or a prefix ("" for the whole bucket), got none');
  }
  for (const key of keys) {
    const issue = keyProblem(key);
    if (issue !== undefined) throw new AtollError("invalid-key", issue);
  }
  mustFitKey("prefix", prefix ?? "");
  return {
    names: keys.map((key) => objectName(bucket, key)),
    prefix: prefix === undefined ? undefined : objectName(bucket, prefix),
    region: region ?? here,
  };
}
