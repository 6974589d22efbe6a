/** How peers are found, as the settings say it. */
import { z } from "zod";

export type DiscoverySettings =
  | { readonly kind: "static" }
  /** `port` undefined: the peer port; a name that begins with `_` brings its ports along. */
  | { readonly kind: "dns"; readonly name: string; readonly port: number | undefined }
  | { readonly kind: "fly"; readonly app: string; readonly machineId: string }
  | { readonly kind: "etcd"; readonly endpoints: readonly string[] };

/** `fly` is completed from the machine's own variables. */
type ParsedDiscovery = Exclude<DiscoverySettings, { kind: "fly" }> | { readonly kind: "fly" };

const WANTED = "wanted static, dns:NAME, dns:NAME:PORT, fly or etcd:URL[,URL]";
/** RFC 1035 section 2.3.4 (sizes), RFC 2782 (underscores). */
const DNS_NAME = /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*$/;
const ENDPOINTS_MAX = 16;

export function parseDiscovery(text: string, context: z.RefinementCtx): ParsedDiscovery {
  const refuse = (message: string): never => {
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  };
  if (text === "static" || text === "fly") return { kind: text };
  const [, kind, rest = ""] = /^(dns|etcd):(.*)$/s.exec(text) ?? [];
  if (kind === "dns") {
    const [, name = "", port] = /^([^:]*)(?::(\d{1,5}))?$/.exec(rest) ?? [];
    const isPort = port === undefined || (Number(port) >= 1 && Number(port) <= 65_535);
    if (!DNS_NAME.test(name) || !isPort) return refuse("wanted dns:NAME or dns:NAME:PORT");
    if (port !== undefined && name.startsWith("_")) {
      return refuse("wanted dns:NAME without a port, as services (_…) say theirs");
    }
    return { kind, name, port: port === undefined ? undefined : Number(port) };
  }
  if (kind === "etcd") {
    const endpoints = rest.split(",").map((url) => url.trim().replace(/\/+$/, ""));
    const isGood = endpoints.length <= ENDPOINTS_MAX && endpoints.every(isEndpoint);
    return isGood ? { kind, endpoints } : refuse("wanted etcd:URL[,URL] like etcd:http://10.0.0.1:2379");
  }
  return refuse(WANTED);
}

export function parseDnsServer(text: string, context: z.RefinementCtx): string {
  const [, host = "", port = "53"] = /^(\[[0-9a-fA-F:.]+\]|[0-9.]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const isGood = z.union([z.ipv4(), z.ipv6()]).safeParse(host.replace(/^\[|\]$/g, "")).success &&
    Number(port) >= 1 && Number(port) <= 65_535;
  if (isGood) return `${host}:${port}`;
  context.addIssue({ code: "custom", message: "wanted an address like 127.0.0.1:5353 or [fdaa::3]:53" });
  return z.NEVER;
}

interface FlyMachine {
  readonly app: string;
  readonly machineId: string;
  /** By which others reach it, whatever its address. */
  readonly name: string;
  readonly privateIp: string | undefined;
}

/** `problems` gets what is missing. */
export function flyMachine(
  env: Readonly<Record<string, string | undefined>>,
  problems: string[],
): FlyMachine {
  const { FLY_APP_NAME: app = "", FLY_MACHINE_ID: machineId = "", FLY_PRIVATE_IP: privateIp } = env;
  for (const [name, text] of [["FLY_APP_NAME", app], ["FLY_MACHINE_ID", machineId]] as const) {
    if (!/^[A-Za-z0-9-]{1,63}$/.test(text)) {
      problems.push(
        `ATOLL_DISCOVERY: fly wants ${name} as Fly.io sets it in its machines, got ${
          JSON.stringify(text.slice(0, 80))
        }`,
      );
    }
  }
  return { app, machineId, name: `${machineId}.vm.${app}.internal`, privateIp: privateIp || undefined };
}

/** Nothing but scheme, host and port: a password would stand in every listing of processes. */
function isEndpoint(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.pathname === "/" &&
    url.username + url.password + url.search + url.hash === "";
}
