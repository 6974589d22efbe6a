/**
 * What happens to real nodes, drawn from a seed: they die, hang, are restarted one by one, lose their disk or bits of it,
 * and are cut off from each other. One thing at a time, each undone before the next; those that take the only copy but one
 * of something away wait until all copies are there.
 */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import type { AtollProcess } from "./atoll-process.ts";
import type { AtollRing } from "./atoll-ring.ts";
import { until } from "./deadline.ts";
import type { SeededRandom } from "./fake-random.ts";
import { ask, metricOf, metricsOf } from "./raw-http.ts";

const MEND_MS = 60_000;
const HOLD_MS_MAX = 2_500;
const DAMAGED_MAX = 3;

/** Everything is whole and delivered when all of them are 0. */
const UNREST = [
  "atoll_hints_owed",
  "atoll_handoff_chunks_owed",
  "atoll_objects_incomplete",
  "atoll_recovery_partitions_left",
  "atoll_registers_damaged",
] as const;

export interface Stage {
  readonly ring: AtollRing;
  readonly random: SeededRandom;
  /** Between them nobody begins anything. */
  readonly holdClients: () => void;
  readonly letClientsGoOn: () => void;
}

type Strike = (stage: Stage) => Promise<string>;

export const STRIKES: Readonly<Record<string, Strike>> = {
  kill: async ({ ring, random }) => {
    const index = pickNode(ring, random);
    await ring.nodes[index]!.kill("SIGKILL");
    await delay(random.below(HOLD_MS_MAX));
    await ring.restart(index);
    return `node ${index}`;
  },
  pause: async ({ ring, random }) => {
    const index = pickNode(ring, random);
    const holdMs = 500 + random.below(4_000);
    ring.nodes[index]!.pause();
    await delay(holdMs);
    ring.nodes[index]!.resume();
    return `node ${index} for ${holdMs} ms`;
  },
  "rolling restart": async ({ ring }) => {
    for (const index of ring.nodes.keys()) {
      await ring.nodes[index]!.kill("SIGTERM");
      await ring.restart(index);
    }
    return "";
  },
  wipe: async (stage) => {
    const { ring, random } = stage;
    const index = pickNode(ring, random);
    await whole(stage);
    await ring.nodes[index]!.kill("SIGKILL");
    await rm(ring.dataDir(index), { recursive: true });
    await ring.restart(index);
    await becomes(ring.nodes[index]!, "atoll_recovery_partitions_left", 0);
    return `node ${index}`;
  },
  "bits in chunk files": async (stage) => {
    const files = await whileDown(stage, async (dataDir) => await flipInFiles(dataDir, stage.random));
    return `${files.length} files`;
  },
  "bits in the catalog": async (stage) => {
    const rows = await whileDown(stage, (dataDir) => flipInCatalog(dataDir, stage.random));
    return `${rows} rows`;
  },
  partition: async ({ ring, random }) => {
    const sides = shuffled([...ring.nodes.keys()], random);
    const few = sides.splice(0, 1 + random.below(Math.floor(ring.nodes.length / 2)));
    ring.relay!.setBetween(few, sides, { isCut: true });
    await delay(500 + random.below(2 * HOLD_MS_MAX));
    ring.relay!.heal();
    return `${few.join()} from ${sides.join()}`;
  },
  "one-way cut": async ({ ring, random }) => {
    const index = pickNode(ring, random);
    const isFrom = random.chance(0.5);
    for (const other of ring.nodes.keys()) {
      if (other !== index) ring.relay!.set(isFrom ? index : other, isFrom ? other : index, { isCut: true });
    }
    await delay(500 + random.below(2 * HOLD_MS_MAX));
    ring.relay!.heal();
    return `${isFrom ? "from" : "to"} node ${index}`;
  },
  "delay, loss and resets": async ({ ring, random }) => {
    const all = [...ring.nodes.keys()];
    ring.relay!.setBetween(all, all, { delayMs: 5 + random.below(60), loss: 0.05 });
    for (let resets = 0; resets < 4; resets++) {
      await delay(random.below(HOLD_MS_MAX / 2));
      ring.relay!.reset(pickNode(ring, random), pickNode(ring, random));
    }
    ring.relay!.heal();
    return "";
  },
};

/** All nodes see each other, and hold all that they should. */
export async function atRest(ring: AtollRing): Promise<void> {
  const peers = ring.nodes.length - 1;
  for (const node of ring.nodes) await becomes(node, "atoll_peers_alive", peers);
  const left: string[] = [];
  await until("all is delivered and whole", MEND_MS, async () => {
    const counts = await Promise.all(ring.nodes.map(async (node, index) => {
      const values = await metricsOf(node.publicUrl, UNREST);
      return UNREST.flatMap((name, i) => values[i] === 0 ? [] : [`node ${index}: ${name} ${values[i]}`]);
    }));
    left.splice(0, Infinity, ...counts.flat());
    return left.length === 0;
  }, left);
}

export function shuffled<T>(items: readonly T[], random: SeededRandom): T[] {
  const left = [...items];
  return items.map(() => left.splice(random.below(left.length), 1)[0]!);
}

async function whole({ ring, holdClients, letClientsGoOn }: Stage): Promise<void> {
  holdClients();
  await atRest(ring);
  letClientsGoOn();
}

/** Damages a node's disk while it is down, and has it look for damage when it is back. */
async function whileDown<T>(stage: Stage, damage: (dataDir: string) => T | Promise<T>): Promise<T> {
  const { ring, random } = stage;
  const index = pickNode(ring, random);
  await whole(stage);
  await ring.nodes[index]!.kill("SIGKILL");
  const done = await damage(ring.dataDir(index));
  const node = await ring.restart(index);
  await ask(`${node.publicUrl}/_/scrub`, { method: "POST" });
  await until("what was damaged was looked for", MEND_MS, async () => {
    const { body } = await ask(`${node.publicUrl}/_/scrub`);
    return !(JSON.parse(body.toString()) as { onDemand: boolean }).onDemand;
  }, node.lines);
  await becomes(node, "atoll_registers_damaged", 0);
  return done;
}

async function flipInFiles(dataDir: string, random: SeededRandom): Promise<string[]> {
  const chunks = join(dataDir, "chunks");
  const all = (await readdir(chunks, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile()
  );
  const chosen = shuffled(all.map((entry) => join(entry.parentPath, entry.name)), random).slice(
    0,
    DAMAGED_MAX,
  );
  for (const path of chosen) {
    const bytes = await readFile(path);
    bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
    await writeFile(path, bytes);
  }
  return chosen;
}

/** In the rows of registers and of small chunks, in any of their cells but the key. */
function flipInCatalog(dataDir: string, random: SeededRandom): number {
  using database = new DatabaseSync(join(dataDir, "catalog.db"));
  const names = database.prepare("SELECT name FROM registers").all().map((row) => row["name"] as Uint8Array);
  const ids = database.prepare("SELECT id FROM chunks WHERE length(bytes) > 0").all().map((row) =>
    row["id"] as Uint8Array
  );
  const chosen = shuffled(names, random).slice(0, DAMAGED_MAX);
  for (const name of chosen) {
    const cell = random.pick(["promised_counter", "accepted_counter", "checksum"] as const);
    // Which is what a bit is, whether it was set or not.
    const bit = 1 << random.below(16);
    database.prepare(`UPDATE registers SET ${cell} = (${cell} | ?) - (${cell} & ?) WHERE name = ?`).run(
      bit,
      bit,
      name,
    );
  }
  const small = shuffled(ids, random).slice(0, DAMAGED_MAX);
  for (const id of small) {
    const bytes = Buffer.from(
      database.prepare("SELECT bytes FROM chunks WHERE id = ?").get(id)!["bytes"] as Uint8Array,
    );
    bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
    database.prepare("UPDATE chunks SET bytes = ? WHERE id = ?").run(bytes, id);
  }
  return chosen.length + small.length;
}

async function becomes(node: AtollProcess, metric: string, value: number): Promise<void> {
  const reached = async () => await metricOf(node.publicUrl, metric) === value;
  await until(`${metric} is ${value} at ${node.publicUrl}`, MEND_MS, reached, node.lines);
}

function pickNode(ring: AtollRing, random: SeededRandom): number {
  return random.below(ring.nodes.length);
}
