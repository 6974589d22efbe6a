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

  /** Per zone whether the partition may get a copy there once `without` has given up its own. */
  openZones(partition: number, without: number): boolean[] {
    const { zoneOf, zones, least, most, extras } = this.rule;
    const counts = zones.map(() => 0);
    let used = 0;
    for (const holder of this.rows[partition]!) {
      if (holder === without) continue;
      const zone = zoneOf[holder]!;
      if (++counts[zone]! > least[zone]!) used++;
    }
    return counts.map((count, z) => count < least[z]! || count < most[z]! && used < extras);
  }

  mayHold(partition: number, node: number, without: number): boolean {
    const zone = this.rule.zoneOf[node]!;
    return zone !== -1 && !this.held[node]!.has(partition) && this.openZones(partition, without)[zone]!;
  }

  add(partition: number, node: number): void {
    this.rows[partition]!.push(node);
    this.held[node]!.add(partition);
    const zone = this.rule.zoneOf[node]!;
    if (this.#countIn(partition, zone) > this.rule.least[zone]!) this.extras[zone]!++;
  }

  remove(partition: number, node: number): void {
    const zone = this.rule.zoneOf[node]!;
    if (this.#countIn(partition, zone) > this.rule.least[zone]!) this.extras[zone]!--;
    const row = this.rows[partition]!;
    row.splice(row.indexOf(node), 1);
    this.held[node]!.delete(partition);
  }

  /** The partition's copy at `from`, which may be nobody, goes to `to`. */
  move(partition: number, from: number, to: number): void {
    if (from !== NOBODY) this.remove(partition, from);
    this.add(partition, to);
  }

  #countIn(partition: number, zone: number): number {
    let count = 0;
    for (const holder of this.rows[partition]!) if (this.rule.zoneOf[holder] === zone) count++;
    return count;
  }
}

/** Pseudo-random in [0, 1), the same everywhere: what decides between equals, so that no pattern runs round the ring. */
export function lot(partition: number, node: number): number {
  let hash = Math.imul(partition + 1, 0x9e3779b1) ^ Math.imul(node + 1, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
