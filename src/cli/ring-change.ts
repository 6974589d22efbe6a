/** A change of the ring, from what stands on the command line. */
import { REPLICAS_MAX } from "../core/layout-change.ts";
import { usage } from "./failure.ts";
import type { RingChange } from "./ring-documents.ts";

/** As commander collects them; each may be given several times, and take several separated by commas. */
export interface ChangeOptions {
  readonly join?: readonly string[];
  readonly drain?: readonly string[];
  readonly remove?: readonly string[];
  readonly replace?: readonly string[];
  readonly weight?: readonly string[];
  readonly zone?: readonly string[];
  readonly replicas?: string;
  readonly confirm?: string;
}

/** As in a node's own settings. */
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const LABEL = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/;

/** Throws `usage` for what makes no sense, and for no change at all. */
export function parseChange(options: ChangeOptions): RingChange {
  const change: { -readonly [K in keyof RingChange]: RingChange[K] } = {};
  for (const kind of ["join", "drain", "remove"] as const) {
    const ids = items(options[kind]).map((id) => nodeId(`--${kind}`, id));
    if (ids.length > 0) change[kind] = [...new Set(ids)];
  }
  const replacements = items(options.replace).map((text) => {
    const [from, to] = pair("--replace", "OLD=NEW", text);
    return { from: nodeId("--replace", from), to: nodeId("--replace", to) };
  });
  if (replacements.length > 0) change.replace = replacements;
  const weights = items(options.weight).map((text) => {
    const [id, weight] = pair("--weight", "ID=NUMBER", text);
    return [nodeId("--weight", id), parseWeight(weight)] as const;
  });
  if (weights.length > 0) change.weight = Object.fromEntries(weights);
  const zones = items(options.zone).map((text) => {
    const [id, zone] = pair("--zone", "ID=ZONE", text);
    if (!LABEL.test(zone)) {
      throw usage(`--zone: wanted 1 to 32 of letters, digits, _ . - for a zone, got ${zone}`);
    }
    return [nodeId("--zone", id), zone] as const;
  });
  if (zones.length > 0) change.zone = Object.fromEntries(zones);
  if (options.replicas !== undefined) change.replicas = parseReplicas(options.replicas);
  if (Object.keys(change).length === 0) {
    throw usage(
      "wanted a change: --join, --drain, --remove, --replace, --weight, --zone or --replicas, got none",
    );
  }
  if (options.confirm !== undefined) change.confirm = options.confirm;
  return change;
}

export function parseIds(option: string, texts: readonly string[] | undefined): string[] {
  return items(texts).map((id) => nodeId(option, id));
}

function items(texts: readonly string[] | undefined): string[] {
  return (texts ?? []).flatMap((text) => text.split(",")).map((text) => text.trim()).filter((text) =>
    text !== ""
  );
}

function pair(option: string, shape: string, text: string): [string, string] {
  const equals = text.indexOf("=");
  if (equals < 1 || equals === text.length - 1) throw usage(`${option}: wanted ${shape}, got ${text}`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function nodeId(option: string, text: string): string {
  if (!ID.test(text)) {
    throw usage(
      `${option}: wanted a node's ID, 1 to 64 of letters, digits, . _ -, got ${JSON.stringify(text)}`,
    );
  }
  return text;
}

function parseWeight(text: string): number {
  const weight = /^\d{1,9}(\.\d{1,6})?$/.test(text) ? Number(text) : NaN;
  if (Number.isNaN(weight)) throw usage(`--weight: wanted a number, 0 or more, got ${text}`);
  return weight;
}

function parseReplicas(text: string): number {
  const replicas = /^\d{1,2}$/.test(text) ? Number(text) : NaN;
  if (!(replicas % 2 === 1 && replicas <= REPLICAS_MAX)) {
    throw usage(`--replicas: wanted an odd number from 1 to ${REPLICAS_MAX}, got ${text}`);
  }
  return replicas;
}
