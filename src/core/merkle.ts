/**
 * What replicas compare instead of their registers: a tree of digests per partition, over (name, ballot, version, content).
 * Leaves are slots; above them stands one digest per partition. Wide and flat, since a partition is compared in two
 * questions whatever it holds.
 */
import type { Name } from "./names.ts";
import type { AcceptorState } from "./register.ts";

/** Of a slot or partition that holds nothing. */
export const EMPTY_DIGEST = "";

/** What one register adds to its slot's digest; undefined when nothing was accepted: promises are not compared. */
export function leafText(name: Name, { accepted, value }: AcceptorState): string | undefined {
  if (value === null) return undefined;
  const content = value.content.kind === "object" ? value.content.manifest.sha256 : "tombstone";
  // Names may hold anything but the lengths before them.
  return `${name.length} ${name} ${accepted.counter} ${accepted.node} ${value.version} ${content}\n`;
}

/** What a partition's digest is taken of. */
export function branchText(slots: readonly string[]): string | undefined {
  return slots.every((digest) => digest === EMPTY_DIGEST) ? undefined : slots.join("\n");
}
