/** Clients at every node of a ring that create one and the same object at once: exactly one may have made it. */
import { setTimeout as delay } from "node:timers/promises";
import type { AtollRing } from "./atoll-ring.ts";
import { until } from "./deadline.ts";
import { ask, put, type Reply } from "./raw-http.ts";

export interface RaceOptions {
  readonly ring: AtollRing;
  readonly rounds: number;
  readonly clients: number;
  /** This node is killed in the midst of a round after a third of them, and started anew after two thirds. */
  readonly killed?: number;
}

export interface RaceResult {
  readonly rounds: number;
  /** Rounds with exactly one winner, of whom every node knows and nobody else was told that it won. */
  readonly oneWinner: number;
  /** Of those, rounds whose winner was cut off before it was told; the others were told that they lost. */
  readonly winnerNotTold: number;
  /** What was wrong with the others. */
  readonly faults: readonly string[];
  readonly seconds: number;
}

type Told = "won" | "lost" | "refused" | "unknown";

const READ_MS = 15_000;
/** Those who lose a round against each other wait a while: others are played meanwhile. */
const ROUNDS_AT_ONCE = 4;

export async function race({ ring, rounds, clients, killed }: RaceOptions): Promise<RaceResult> {
  const startedMs = performance.now();
  const winners: string[] = [];
  const faults: string[] = [];
  let winnerNotTold = 0;
  let restarted: Promise<unknown> | undefined;
  const play = async (round: number): Promise<void> => {
    const target = `/race/round-${round}`;
    const tries = Array.from({ length: clients }, (_, client) => create(ring, client, target));
    if (killed !== undefined && round === Math.floor(rounds / 3)) {
      await delay(2); // some of them are under way then
      await ring.nodes[killed]!.kill("SIGKILL");
    }
    if (killed !== undefined && round === Math.floor((2 * rounds) / 3)) restarted = ring.restart(killed);
    const told = await Promise.all(tries);
    const won = told.flatMap((each, client) => each === "won" ? [contentOf(client, target)] : []);
    const perhaps = told.flatMap((each, client) => each === "unknown" ? [contentOf(client, target)] : []);
    const kept = await contentAt(ring, round, target);
    winners[round] = kept;
    const isOne = won.length === 1 ? won[0] === kept : won.length === 0 && perhaps.includes(kept);
    if (!isOne) faults.push(`round ${round}: told ${told.join()}, kept ${JSON.stringify(kept)}`);
    else if (won.length === 0) winnerNotTold++;
  };
  let begun = 0;
  await Promise.all(Array.from({ length: ROUNDS_AT_ONCE }, async () => {
    while (begun < rounds) await play(begun++);
  }));
  await restarted;
  for (const { publicUrl } of ring.nodes) {
    for (const [round, winner] of winners.entries()) {
      const { body } = await ask(`${publicUrl}/race/round-${round}`);
      if (body.toString() !== winner) faults.push(`round ${round} at ${publicUrl}: ${body.toString()}`);
    }
  }
  return {
    rounds,
    oneWinner: rounds - new Set(faults.map((fault) => /^round \d+/.exec(fault)![0])).size,
    winnerNotTold,
    faults,
    seconds: (performance.now() - startedMs) / 1000,
  };
}

function contentOf(client: number, target: string): string {
  return `${target} by client ${client}`;
}

/** At the client's own node; where nobody listens it goes to the next. */
async function create(ring: AtollRing, client: number, target: string): Promise<Told> {
  for (let tries = 0; tries < ring.nodes.length; tries++) {
    const { publicUrl } = ring.nodes[(client + tries) % ring.nodes.length]!;
    let reply: Reply;
    try {
      reply = await put(publicUrl + target, contentOf(client, target), { headers: { "If-None-Match": "*" } });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED") continue;
      return "unknown";
    }
    if (reply.status === 201) return "won";
    if (reply.status === 412) return "lost";
    return reply.status === 503 ? "refused" : "unknown";
  }
  return "refused";
}

/** At a node that is there, another one in each round. */
async function contentAt(ring: AtollRing, round: number, target: string): Promise<string> {
  let content = "";
  let tries = 0;
  await until(`${target} is read`, READ_MS, async () => {
    const { publicUrl } = ring.nodes[(round + tries++) % ring.nodes.length]!;
    const reply = await ask(publicUrl + target).catch(() => undefined);
    if (reply?.status !== 200 && reply?.status !== 404) return false;
    content = reply.status === 200 ? reply.body.toString() : "";
    return true;
  });
  return content;
}
