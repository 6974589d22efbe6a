/**
 * A table in the making: which nodes hold which partition, the rule of zones kept at every step, and how far each node
 * is from its target.
 */
import type { ZoneRule } from "./layout-targets.ts";
import { PARTITIONS } from "./partitions.ts";

/** In place of a node: a copy that no node holds yet. */
export const NOBODY = -1;

export class Draft {
  /** Per partition its holders, in the order they were added. */
  readonly rows: readonly number[][];
  /** Per node the partitions it holds. */
  readonly held: readonly Set<number>[];
  /** Per zone how many partitions it holds one more than its least of, and how many it is to. */
  readonly extras: number[];
  readonly #extraTargets: readonly number[];
  /** Per partition and zone the copies there; per partition how many zones have one more than their least. */
  readonly #counts: Uint16Array;
  readonly #extrasOf: Uint16Array;
  /** How many moves searches have considered so far: their measure of time, the same on every machine. */
  considered = 0;
  readonly rule: ZoneRule;
  readonly copies: number;
  readonly targets: readonly number[];

  constructor(rule: ZoneRule, copies: number, targets: readonly number[]) {
    this.rule = rule;
    this.copies = copies;
    this.targets = targets;
    this.rows = Array.from({ length: PARTITIONS }, () => []);
    this.held = targets.map(() => new Set<number>());
    this.extras = rule.zones.map(() => 0);
    this.#counts = new Uint16Array(PARTITIONS * rule.zones.length);
    this.#extrasOf = new Uint16Array(PARTITIONS);
    this.#extraTargets = rule.zones.map((zone, z) =>
      zone.reduce((total, node) => total + targets[node]!, 0) - PARTITIONS * rule.least[z]!
    );
  }

  /** How many partitions a node lacks; negative where it holds too many. */
  lack(node: number): number {
    return this.targets[node]! - this.held[node]!.size;
  }

  /** How many partitions a zone lacks an extra copy of; negative where it has too many. */
  lackOfExtras(zone: number): number {
    return this.#extraTargets[zone]! - this.extras[zone]!;
  }

  /** How many copies of the partition the zone has. */
  countIn(partition: number, zone: number): number {
    return this.#counts[partition * this.rule.zones.length + zone]!;
  }

  /** Whether the partition may get a copy in the zone once `without`, a holder or nobody, has given up its own. */
  isOpen(partition: number, zone: number, without: number): boolean {
    const { zoneOf, least, most, extras } = this.rule;
    const leaving = without === NOBODY ? -1 : zoneOf[without]!;
    const count = this.countIn(partition, zone) - (leaving === zone ? 1 : 0);
    if (count < least[zone]!) return true;
    const freed = leaving !== -1 && this.countIn(partition, leaving) > least[leaving]! ? 1 : 0;
    return count < most[zone]! && this.#extrasOf[partition]! - freed < extras;
  }

  mayHold(partition: number, node: number, without: number): boolean {
    return !this.held[node]!.has(partition) && this.isOpen(partition, this.rule.zoneOf[node]!, without);
  }

  add(partition: number, node: number): void {
    this.rows[partition]!.push(node);
    this.held[node]!.add(partition);
    this.#count(partition, this.rule.zoneOf[node]!, 1);
  }

  remove(partition: number, node: number): void {
    const row = this.rows[partition]!;
    row.splice(row.indexOf(node), 1);
    this.held[node]!.delete(partition);
    this.#count(partition, this.rule.zoneOf[node]!, -1);
  }

  /** The partition's copy at `from`, which may be nobody, goes to `to`. */
  move(partition: number, from: number, to: number): void {
    if (from !== NOBODY) this.remove(partition, from);
    this.add(partition, to);
  }

  #count(partition: number, zone: number, change: 1 | -1): void {
    const place = partition * this.rule.zones.length + zone;
    const more = Math.max(this.#counts[place]!, this.#counts[place]! + change);
    this.#counts[place]! += change;
    if (more <= this.rule.least[zone]!) return;
    this.extras[zone]! += change;
    this.#extrasOf[partition]! += change;
  }
}

/** Pseudo-random in [0, 1), the same everywhere: what decides between equals, so that no pattern runs round the ring. */
export function lot(partition: number, node: number): number {
  let hash = Math.imul(partition + 1, 0x9e3779b1) ^ Math.imul(node + 1, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
