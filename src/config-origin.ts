/** Settings of how a node reaches the origins of buckets. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { type AddressRange, parseRange } from "./core/address-ranges.ts";

/** Where a node may connect to beyond the public Internet. */
export interface AllowedPrivate {
  readonly ranges: readonly AddressRange[];
  /** Names in lower case, whatever their addresses. */
  readonly hosts: readonly string[];
}

const HOST = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*$/;

function parseAllowed(text: string, context: z.RefinementCtx): AllowedPrivate {
  const ranges: AddressRange[] = [];
  const hosts: string[] = [];
  for (const part of text.split(",").map((each) => each.trim().toLowerCase()).filter((each) => each !== "")) {
    const range = parseRange(part);
    if (range) ranges.push(range);
    // What looks like an address and is none is a mistake, not a name.
    else if (HOST.test(part) && !/^[\d.]+$/.test(part)) hosts.push(part);
    else {
      context.addIssue({
        code: "custom",
        message: "wanted addresses, ranges like 10.1.0.0/16 and names of hosts, separated by commas",
      });
      return z.NEVER;
    }
  }
  return { ranges, hosts };
}

function readAuthorities(file: string, context: z.RefinementCtx): string {
  try {
    const pem = readFileSync(file, "utf8");
    if (pem.includes("-----BEGIN CERTIFICATE-----")) return pem;
  } catch {
    // Whatever it is, it is not what was wanted.
  }
  context.addIssue({ code: "custom", message: `wanted a file with certificates in PEM, got ${file}` });
  return z.NEVER;
}

export const ORIGIN_VARIABLES = {
  ATOLL_ORIGIN_CA_FILE: {
    schema: z.string().transform(readAuthorities),
    default: undefined,
    meaning: "PEM file of authorities whose certificates of origins are believed, besides the public ones",
  },
  ATOLL_ORIGIN_ALLOW_PRIVATE: {
    schema: z.string().transform(parseAllowed),
    default: "",
    meaning:
      "ranges like 10.1.0.0/16 and hosts, separated by commas, where origins may be beyond the public Internet",
  },
} as const;

export interface OriginConfig {
  readonly originAllowPrivate: AllowedPrivate;
  /** PEM. */
  readonly originCa: string | undefined;
}

export function originConfig(
  values: {
    readonly ATOLL_ORIGIN_ALLOW_PRIVATE?: AllowedPrivate | undefined;
    readonly ATOLL_ORIGIN_CA_FILE?: string | undefined;
  },
): OriginConfig {
  return { originAllowPrivate: values.ATOLL_ORIGIN_ALLOW_PRIVATE!, originCa: values.ATOLL_ORIGIN_CA_FILE };
}
