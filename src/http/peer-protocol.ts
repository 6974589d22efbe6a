/**
 * Which versions of the protocol between nodes there are, and how two nodes agree on one. A ring never needs to stop for
 * a new one: its nodes are replaced one by one, in any order, and for as long as that takes versions n and n + 1 work
 * together. These are the rules by which they can:
 *
 * 1. A version that was deployed never changes. Whatever is said otherwise than before, or means something else, is the
 *    next version; a release brings one at most, and understands it and the one before.
 * 2. Every message says in which version it is, and what its sender understands. Two nodes speak the highest that both
 *    understand. Who does not know yet what a peer understands speaks the lowest of its own; each answer tells. A peer
 *    that refuses the version (426, before it has read the body) says what it understands, too, and the message is put
 *    once more in that.
 * 3. What is said in the older version is that version to the letter. peer-neighbour.ts translates, both ways, and is the
 *    only place that knows how; node/ knows the newest version and no other.
 * 4. From version 2 on, a message may have more fields than its version knows when its sender understands a newer one:
 *    the receiver passes over them. So a field that may as well be ignored needs no translation. That goes for fields of
 *    the message itself and not for what is within: registers' values, layouts and cards are kept, compared and passed
 *    on, and half of one would pass for the whole. A new kind of message, or one that must not be ignored, is never put
 *    to a peer of an older version.
 * 5. What is kept has a format number of its own. A release that brings a new one reads both and writes the old; only the
 *    next release writes the new.
 * 6. The minimum is raised by the next version, which drops the translation: 3 understands 2 and 3. It may be deployed
 *    when no node speaks 1 any more. So versions are passed one at a time, and the step from n to n + 1 may be taken back
 *    until the one to n + 2 is begun.
 */
export const PEER_PROTOCOL_MIN = 1;
/**
 * 2: `slot-states` asks of several partitions, an `accept` may bring a chunk, there is `purge`, `chunk-get` may ask for
 * a region, and `moved` tells how many bytes are left. 1: `slot-states` asked of one, and of versions a message said only
 * its own.
 */
export const PEER_PROTOCOL = 2;

/** What a node understands: these and all between. */
export interface Protocols {
  readonly min: number;
  readonly max: number;
}

export const PROTOCOLS: Protocols = { min: PEER_PROTOCOL_MIN, max: PEER_PROTOCOL };

/** How a message is to be read. */
export interface Dialect {
  readonly version: number;
  /** The sender understands more than the receiver, and may say more (rule 4). */
  readonly isAhead: boolean;
}

/** Of what this node says, and of whoever understands the same. */
export const OWN_DIALECT: Dialect = { version: PEER_PROTOCOL, isAhead: false };

/** The highest that both understand; undefined: they are no neighbours. */
export function commonProtocol(mine: Protocols, theirs: Protocols): number | undefined {
  const version = Math.min(mine.max, theirs.max);
  return version >= Math.max(mine.min, theirs.min) ? version : undefined;
}

export function dialectOf(version: number, mine: Protocols, theirs: Protocols): Dialect {
  return { version, isAhead: version > 1 && theirs.max > mine.max };
}

const VERSION = /^[1-9]\d{0,5}$/;
const RANGE = /^([1-9]\d{0,5})-([1-9]\d{0,5})$/;

/** Undefined for what is no version. */
export function readVersion(text: string): number | undefined {
  return VERSION.test(text) ? Number(text) : undefined;
}

/** As it stands in a header; undefined: version 1, which has no such header. */
export function protocolsText({ min, max }: Protocols): string | undefined {
  return max === 1 ? undefined : `${min}-${max}`;
}

/** What the sender of a message in that version understands, by its header if there is one; undefined for nonsense. */
export function readProtocols(text: string | undefined, version: number): Protocols | undefined {
  if (text === undefined) return version === 1 ? { min: 1, max: 1 } : undefined;
  const [, min, max] = (RANGE.exec(text) ?? []).map(Number);
  if (min === undefined || max === undefined || version < min || version > max) return undefined;
  return { min, max };
}

/** For an error's message. */
export function showProtocols({ min, max }: Protocols): string {
  return min === max ? String(min) : `${min} to ${max}`;
}
