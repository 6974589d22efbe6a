/** The kinds of faults that there are; see faults.ts for who draws them, and whom they hit. */
import type { Faults } from "./faults.ts";

export const PAUSE_MAX_MS = 5_000;

/** Whose disks may lose what they synced: the victim's, also another one's, or another one's of other registers. */
export type Losses = "one" | "two" | "apart";

export interface Trouble {
  readonly name: string;
  /** In one run: what costs a thousand messages each time. */
  readonly most?: number;
  /** Takes something away that was synced. */
  readonly destroys?: boolean;
  readonly strike: (faults: Faults, id: string) => void | Promise<void>;
}

export const TROUBLES: readonly Trouble[] = [
  {
    name: "crash",
    async strike(faults, id) {
      if (!faults.ring.isUp(id)) return;
      faults.ring.crash(id);
      await faults.pause(5_000);
      if (!faults.over) await faults.restart(id);
    },
  },
  {
    name: "blip",
    strike: (faults, id) => faults.blip(id, 50),
  },
  {
    // What was promised or accepted is forgotten, if it can be, at the very moment at which somebody counts on it.
    name: "crash after a vote",
    strike(faults, id) {
      faults.ambush(id, faults.random.pick(["prepare", "prepare", "accept"]));
    },
  },
  {
    name: "isolate",
    async strike(faults, id) {
      const ends = faults.ids.flatMap((other) => [faults.cut(id, other), faults.cut(other, id)]);
      await faults.pause(8_000);
      for (const end of ends) end();
    },
  },
  {
    name: "one-way cut",
    async strike(faults, id) {
      const ends = faults.ids.filter(() => faults.random.chance(0.5)).map((other) => faults.cut(id, other));
      await faults.pause(8_000);
      for (const end of ends) end();
    },
  },
  {
    name: "split",
    async strike(faults) {
      const here = faults.ids.filter(() => faults.random.chance(0.5));
      const there = faults.ids.filter((id) => !here.includes(id));
      const ends = here.flatMap((a) => there.flatMap((b) => [faults.cut(a, b), faults.cut(b, a)]));
      await faults.pause(8_000);
      for (const end of ends) end();
    },
  },
  {
    name: "slow links",
    async strike(faults, id) {
      const end = faults.slow(id);
      await faults.pause(10_000);
      end();
    },
  },
  {
    name: "pause",
    strike(faults, id) {
      const { clock } = faults.ring;
      faults.ring.site(id).heldUntilMs = clock.monotonicMs() + faults.random.fraction() * PAUSE_MAX_MS;
    },
  },
  {
    name: "clock jump",
    strike(faults, id) {
      faults.skew(id, (faults.random.fraction() - 0.5) * 600_000);
    },
  },
  {
    name: "clock drift",
    strike(faults, id) {
      faults.skew(id, 0, (faults.random.fraction() - 0.5) * 0.4);
    },
  },
  {
    name: "disk full",
    async strike(faults, id) {
      const { disk } = faults.ring.site(id);
      disk.isFull = true;
      await faults.pause(8_000);
      disk.isFull = false;
    },
  },
  {
    name: "read errors",
    async strike(faults, id) {
      const { disk } = faults.ring.site(id);
      const often = faults.random.pick([0.02, 0.3]);
      disk.readFails = () => faults.random.chance(often);
      await faults.pause(4_000);
      disk.readFails = () => false;
    },
  },
  {
    name: "flipped bits",
    destroys: true,
    async strike(faults, id) {
      if (!faults.mayLoseChunks(id)) return;
      const { disk } = faults.ring.site(id);
      for (const { id: chunk } of await disk.chunkFiles.list("", 100)) {
        if (faults.random.chance(0.3)) disk.chunkFiles.flip(chunk);
      }
      for (const { id: chunk, sizeBytes } of await disk.catalog.listChunks("", 100)) {
        if (sizeBytes > 0 && faults.random.chance(0.3)) disk.rottenChunks.add(chunk);
      }
    },
  },
  {
    name: "lost write",
    destroys: true,
    async strike(faults, id) {
      if (!faults.mayLoseChunks(id)) return;
      const { disk } = faults.ring.site(id);
      for (const { id: chunk } of await disk.chunkFiles.list("", 100)) {
        if (faults.random.chance(0.1)) disk.chunkFiles.lose(chunk);
      }
    },
  },
  {
    name: "misdirected write",
    destroys: true,
    async strike(faults, id) {
      const { disk } = faults.ring.site(id);
      const { random } = faults;
      const isChunks = faults.mayLoseChunks(id);
      const files = isChunks ? await disk.chunkFiles.list("", 100) : [];
      if (files.length > 1) disk.chunkFiles.misdirect(random.pick(files).id, random.pick(files).id);
      const small = (await disk.catalog.listChunks("", 100)).filter((one) => isChunks && one.sizeBytes > 0);
      if (small.length > 0) disk.rottenChunks.add(random.pick(small).id);
      const rows = (await disk.catalog.scan({ prefix: "", after: "", limit: 100 }))
        .filter(({ name }) => faults.mayLose(id, name));
      // The row that was overwritten holds another register's bytes, which do not fit its name.
      if (rows.length > 1) disk.damagedRows.add(random.pick(rows).name);
    },
  },
  {
    name: "damaged row",
    destroys: true,
    async strike(faults, id) {
      const { disk } = faults.ring.site(id);
      for (const { name } of await disk.catalog.scan({ prefix: "", after: "", limit: 100 })) {
        if (faults.mayLose(id, name) && faults.random.chance(0.5)) disk.damagedRows.add(name);
      }
    },
  },
  {
    name: "wipe",
    destroys: true,
    most: 2,
    async strike(faults, id) {
      if (!faults.ring.isUp(id)) return;
      faults.ring.wipe(id);
      await faults.pause(5_000);
      if (!faults.over) await faults.restart(id);
    },
  },
];

/** Where two lose something, what it is about is part of the run. */
export function lossesAmong(kinds: readonly Trouble[], losses: Losses): readonly Trouble[] {
  if (losses === "one") return kinds;
  const [wipe, row] = ["wipe", "damaged row"].map((name) => TROUBLES.find((kind) => kind.name === name)!);
  const [wanted, unwanted] = losses === "two" ? [wipe!, undefined] : [row!, wipe!];
  return [...new Set([...kinds, wanted])].filter((kind) => kind !== unwanted);
}
