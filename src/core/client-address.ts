/** Who a client is, as far as limits go: by its address, or by what a trusted proxy says of it. */

/** In front of the node. `x-forwarded-for`: so many proxies, each of which appends whom it heard it from. */
export type TrustedProxy =
  | { readonly kind: "none" }
  | { readonly kind: "fly" }
  | { readonly kind: "x-forwarded-for"; readonly proxies: number };

const ADDRESS_CHARS_MAX = 64;
const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i;

/**
 * An IPv4 address, or the /64 an IPv6 address lies in: whoever has one IPv6 address has 2^64 of them. Where the proxy's
 * word is missing or is no address, it is the connection's own.
 */
export function clientOf(
  proxy: TrustedProxy,
  remote: string,
  header: (name: string) => string | undefined,
): string {
  return networkOf(saidBy(proxy, header) ?? remote);
}

function saidBy(proxy: TrustedProxy, header: (name: string) => string | undefined): string | undefined {
  if (proxy.kind === "none") return undefined;
  if (proxy.kind === "fly") return addressIn(header("fly-client-ip"));
  // From the right: what stands further left was written by whoever asked, and may be anything.
  return addressIn(header("x-forwarded-for")?.split(",").at(-proxy.proxies));
}

function addressIn(text: string | undefined): string | undefined {
  const trimmed = text?.trim();
  if (trimmed === undefined || trimmed.length > ADDRESS_CHARS_MAX) return undefined;
  return /^(\d{1,3}\.){3}\d{1,3}$/.test(trimmed) || (/^[0-9a-f:.]+$/i.test(trimmed) && trimmed.includes(":"))
    ? trimmed
    : undefined;
}

function networkOf(address: string): string {
  const mapped = MAPPED.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("%")[0]!.toLowerCase().split("::");
  const groups = head.split(":").filter((group) => group !== "");
  const behind = tail === undefined ? [] : tail.split(":").filter((group) => group !== "");
  // A dotted end takes the place of two groups; it is never among the first four unless the rest is missing anyway.
  while (groups.length + behind.length < 8 && groups.length < 4) groups.push("0");
  return `${[...groups, ...behind].slice(0, 4).map((group) => group.replace(/^0+(?=.)/, "")).join(":")}::/64`;
}
