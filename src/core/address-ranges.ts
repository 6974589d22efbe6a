/** IP addresses and ranges of them: which are of the public Internet, and which a setting allows besides. */

export interface AddressRange {
  /** As of IPv6; IPv4 lies in ::ffff:0:0/96 (RFC 4291 section 2.5.5.2). */
  readonly first: bigint;
  readonly last: bigint;
}

const BITS = 128;
const MAPPED = 0xffffn << 32n;

/**
 * All that is not the public Internet's (IANA's special-purpose registries, RFC 6890), multicast, and what carries an IPv4
 * address within it and so would lead around the rest. Clouds serve their machines' credentials at link-local addresses.
 */
const NOT_PUBLIC: readonly AddressRange[] = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10", // carrier-grade NAT, RFC 6598
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.31.196.0/24",
  "192.52.193.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "192.175.48.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3", // multicast, reserved, broadcast
  "::/96", // loopback, unspecified, IPv4-compatible
  "64:ff9b::/96", // NAT64
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23", // Teredo, ORCHID and others
  "2001:db8::/32",
  "2002::/16", // 6to4
  "3fff::/20",
  "5f00::/16",
  "fc00::/7", // unique local; Fly.io's private network
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
].map((text) => parseRange(text)!);

/** An address of its own, or a prefix `address/bits`; undefined for anything else. */
export function parseRange(text: string): AddressRange | undefined {
  const [, address = "", bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const value = parseAddress(address);
  if (value === undefined) return undefined;
  const width = address.includes(":") ? BITS : 32;
  const length = bits === undefined ? width : Number(bits);
  if (length > width) return undefined;
  const size = 1n << BigInt(width - length);
  const first = value - (value % size);
  return { first, last: first + size - 1n };
}

/** Whether a node may connect there of its own accord. What is no address is not public. */
export function isPublic(address: string): boolean {
  return !isWithin(address, NOT_PUBLIC);
}

/** What is no address is within everything. */
export function isWithin(address: string, ranges: readonly AddressRange[]): boolean {
  const value = parseAddress(address.replace(/%.*$/s, ""));
  return value === undefined || ranges.some(({ first, last }) => value >= first && value <= last);
}

function parseAddress(text: string): bigint | undefined {
  return text.includes(":") ? parseV6(text) : parseV4(text, MAPPED);
}

function parseV4(text: string, base: bigint): bigint | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (!parts || parts.some((part) => part > 255)) return undefined;
  return base + parts.reduce((value, part) => value * 256n + BigInt(part), 0n);
}

function parseV6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => half === "" ? [] : groupsOf(half));
  if (!head || (halves.length === 2 && !tail)) return undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => 0n), ...(tail ?? [])];
  return groups.reduce((value, group) => value * 0x10000n + group, 0n);
}

/** 16 bits each; an IPv4 address at the end is two. */
function groupsOf(text: string): bigint[] | undefined {
  const groups: bigint[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(BigInt(`0x${part}`));
    else {
      const v4 = i === parts.length - 1 ? parseV4(part, 0n) : undefined;
      if (v4 === undefined) return undefined;
      groups.push(v4 >> 16n, v4 & 0xffffn);
    }
  }
  return groups;
}
