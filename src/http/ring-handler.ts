/** `/_/ring…`: what an operator sees of the ring and does to it. */
import { z } from "zod";
import { NODES_MAX } from "../core/layout-node.ts";
import type { Administration, Applied } from "../node/layout/administration.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import { jsonBody } from "./json-body.ts";
import { problem } from "./problem.ts";
import type { PublicRequest } from "./request.ts";

const BODY_BYTES_MAX = 64 << 10;

const id = z.string().min(1).max(256);
const ids = z.array(id).max(NODES_MAX);
const change = z.strictObject({
  join: ids.optional(),
  drain: ids.optional(),
  remove: ids.optional(),
  replace: z.array(z.strictObject({ from: id, to: id })).max(NODES_MAX).optional(),
  weight: z.record(id, z.number().nonnegative()).optional(),
  zone: z.record(id, z.string().min(1).max(256)).optional(),
  replicas: z.int().positive().optional(),
  confirm: z.string().max(BODY_BYTES_MAX).optional(),
});
const application = z.strictObject({ base: z.int().positive(), change });
const recovery = z.strictObject({
  confirm: z.string().max(BODY_BYTES_MAX).optional(),
  survivors: ids.optional(),
});

type Act = (request: PublicRequest, administration: Administration) => Promise<Answer>;

const ACTS: Readonly<Record<string, Act>> = {
  "/_/ring/plan": async (request, administration) =>
    jsonAnswer(200, administration.plan(await jsonBody(request, change, BODY_BYTES_MAX))),
  "/_/ring/apply": async (request, administration) => {
    const wanted = await jsonBody(request, application, BODY_BYTES_MAX);
    return answerOf(request, await administration.apply(wanted.base, wanted.change));
  },
  "/_/ring/force-recover": async (request, administration) => {
    const { survivors, confirm } = await jsonBody(request, recovery, BODY_BYTES_MAX);
    return answerOf(request, await administration.forceRecover(survivors, confirm));
  },
};

/** What may be asked of the page; undefined for one that is not the ring's. */
export function allowOfRing(path: string): string | undefined {
  if (path === "/_/ring") return "GET, HEAD, OPTIONS";
  return Object.hasOwn(ACTS, path) ? "POST, OPTIONS" : undefined;
}

/** Undefined for a method or a page that is not the ring's. */
export function handleRing(
  request: PublicRequest,
  path: string,
  administration: Administration,
): Promise<Answer> | undefined {
  const { method } = request;
  if (path === "/_/ring" && (method === "GET" || method === "HEAD")) {
    return administration.status().then((status) => jsonAnswer(200, status));
  }
  return method === "POST" && Object.hasOwn(ACTS, path) ? ACTS[path]!(request, administration) : undefined;
}

function answerOf(request: PublicRequest, applied: Applied): Answer {
  switch (applied.kind) {
    case "applied":
      return jsonAnswer(200, { layout: applied.layout });
    case "changed":
      return problem("layout-changed", applied.detail, request.id, {}, { plan: applied.plan });
    case "refused":
      return problem("refused", applied.detail, request.id, {}, { confirm: applied.confirm });
  }
}
