/** Access keys, as the settings give them. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { type Grant, keyIdProblem, parseGrants, secretProblem } from "./core/grants.ts";
import { messageOf } from "./errors.ts";

interface KeySetting {
  readonly id: string;
  readonly secret: string;
  readonly grants: readonly Grant[];
}

type MetricsAccess = "admin" | "fly" | "open";

export interface AccessSettings {
  /** None: nobody is asked for credentials. */
  readonly keys: readonly KeySetting[];
  /** Who may read `/metrics` where there are keys: an admin; also who comes past Fly.io's proxy; everybody. */
  readonly metricsAccess: MetricsAccess;
}

const KEYS_MAX = 1_000;

export const ACCESS_VARIABLES = {
  ATOLL_KEYS: {
    schema: z.string().transform(parseKeys),
    default: undefined,
    meaning: 'access keys, [{"id","secret","grants":[{"actions","bucket","prefix"}]}], or @FILE',
  },
  ATOLL_METRICS: {
    schema: z.enum(["admin", "fly", "open"], { error: "wanted admin, fly or open" }),
    default: undefined,
    meaning: "who may read /metrics where there are keys (admin; with discovery by fly fly)",
  },
} as const;

/** `isFly`: peers are found by Fly.io. */
export function accessSettings(
  v: { ATOLL_KEYS?: readonly KeySetting[] | undefined; ATOLL_METRICS?: MetricsAccess | undefined },
  isFly: boolean,
): AccessSettings {
  return { keys: v.ATOLL_KEYS ?? [], metricsAccess: v.ATOLL_METRICS ?? (isFly ? "fly" : "admin") };
}

/** What is wrong is said without what came: it is full of secrets. */
function parseKeys(text: string, context: z.RefinementCtx): readonly KeySetting[] {
  const refuse = (message: string) => {
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  };
  let json = text;
  if (text.startsWith("@")) {
    try {
      json = readFileSync(text.slice(1), "utf8");
    } catch (error) {
      return refuse(`wanted a file that can be read: ${messageOf(error)}`);
    }
  }
  const entries = parsedJson(json);
  if (!Array.isArray(entries) || entries.length === 0 || entries.length > KEYS_MAX) {
    return refuse(`wanted a JSON list of 1 to ${KEYS_MAX} keys like ${EXAMPLE}`);
  }
  const keys = new Map<string, KeySetting>();
  for (const [i, entry] of entries.entries()) {
    const key = parseKey(entry);
    if (typeof key === "string") return refuse(`key ${i}: ${key}`);
    if (keys.has(key.id)) return refuse(`key ${i}: wanted an ID of its own, got that of another`);
    keys.set(key.id, key);
  }
  return [...keys.values()];
}

const EXAMPLE = '[{"id":"ci","secret":"…","grants":[{"actions":["read","write"],"bucket":"docs"}]}]';

function parseKey(entry: unknown): KeySetting | string {
  if (typeof entry !== "object" || entry === null) return `wanted one like ${EXAMPLE}`;
  const { id, secret, grants, ...others } = entry as Record<string, unknown>;
  if (Object.keys(others).length > 0) return "wanted nothing but id, secret and grants";
  const problem = keyIdProblem(id) ?? secretProblem(secret);
  if (problem !== undefined) return problem;
  const granted = parseGrants(grants);
  if (typeof granted === "string") return granted;
  return { id: id as string, secret: secret as string, grants: granted };
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // SyntaxError, whose words would quote a piece of what came
  }
}
