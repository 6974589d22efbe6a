/**
 * Rendezvous hashing (Thaler, Ravishankar: A name-based mapping scheme for rendezvous, 1996): of several nodes the one whose
 * hash with the key is the highest. Whoever knows the same nodes names the same one, and a node that goes takes nobody's
 * place but its own with it.
 */

/** Undefined for no nodes. */
export function rendezvous(nodes: Iterable<string>, key: string): string | undefined {
  const keyHash = hashOf(key);
  let chosen: string | undefined;
  let highest = -1;
  for (const node of nodes) {
    const weight = mixed(keyHash ^ hashOf(node));
    // Equal hashes must not leave it to the order in which the nodes are known.
    if (weight > highest || (weight === highest && node < chosen!)) [chosen, highest] = [node, weight];
  }
  return chosen;
}

/** FNV-1a, of UTF-16 units. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

/** MurmurHash3's last step: every bit of the sum decides on every bit. Unsigned. */
function mixed(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
