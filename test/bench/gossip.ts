/**
 * `npm run bench:gossip`: memberships of 10, 100 and 1,000 nodes on simulated time and network. What they send, how soon all
 * know of a death, and whom they suspect or bury wrongly with loss on one link and on all. Bytes are those of the codec;
 * HTTP/2 and TCP add to them. `--members 10,100` for fewer, `--minutes 2` for a shorter bad day: of 1,000 members
 * ten simulated minutes take the better part of an hour.
 */
import { parseArgs } from "node:util";
import { GossipFleet } from "../helpers/gossip-fleet.ts";

const DEATHS = 5;
const LOSS = 0.3;
/** By then cards are no news any more. */
const SETTLED_MS = 35_000;
/** More who come within one second are news to each other for minutes: they know each other from the start. */
const STRANGERS_MAX = 100;
const STEADY_MS = 20_000;
const KNOWN_LIMIT_MS = 120_000;

const { values } = parseArgs({
  options: {
    members: { type: "string", default: "10,100,1000" },
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
  },
});
const badMs = Number(values.minutes) * 60_000;
const seed = Number(values.seed);

const rows: string[][] = [[
  "members",
  "all know all",
  "sent/s a node",
  "messages/s a node",
  "all suspect it",
  "all know of a death",
  `one link loses 30 %, ${values.minutes} min`,
  `all links lose 30 %, ${values.minutes} min`,
  "sent/s then",
  "all know of a death then",
]];
for (const members of values.members.split(",").map(Number)) rows.push(await measure(members));
console.log(table(rows));

async function measure(members: number): Promise<string[]> {
  const fleet = new GossipFleet({ members, seed });
  const note = (text: string): void => console.error(`${members} members: ${text}`);
  const begunMs = performance.now();
  if (members > STRANGERS_MAX) fleet.acquaint();
  const joinedMs = await fleet.start();
  note(`all know all after ${seconds(joinedMs)}`);
  await fleet.clock.advance(SETTLED_MS);
  const calm = await deaths(fleet, DEATHS);
  note(
    `deaths suspected by all after ${seconds(calm.suspectMs)}, known to all after ${seconds(calm.knownMs)}`,
  );
  const steady = await traffic(fleet, STEADY_MS);
  note(`${Math.round(steady.bytes)} bytes, ${steady.messages.toFixed(1)} messages a node and second`);
  const [a, b] = fleet.up as [string, string];
  fleet.isLost = (from, to) => {
    return ((from === a && to === b) || (from === b && to === a)) && fleet.random.chance(LOSS);
  };
  const link = await mistakes(fleet, badMs);
  note(`one bad link: ${link}`);
  fleet.isLost = () => fleet.random.chance(LOSS);
  const lossy = await traffic(fleet, Math.min(STEADY_MS, badMs));
  const all = await mistakes(fleet, badMs);
  note(`all links bad: ${all}`);
  const bad = await deaths(fleet, Math.min(DEATHS, fleet.up.length - 3));
  note(`took ${seconds(performance.now() - begunMs)} of real time`);
  return [
    String(members),
    seconds(joinedMs),
    `${Math.round(steady.bytes)} B`,
    steady.messages.toFixed(1),
    seconds(calm.suspectMs),
    seconds(calm.knownMs),
    link,
    all,
    `${Math.round(lossy.bytes)} B`,
    seconds(bad.knownMs),
  ];
}

/** Per node and second. */
async function traffic(fleet: GossipFleet, ms: number): Promise<{ bytes: number; messages: number }> {
  fleet.bytes = fleet.messages = 0;
  fleet.isCounting = true;
  await fleet.clock.advance(ms);
  fleet.isCounting = false;
  const nodeSeconds = fleet.up.length * ms / 1_000;
  return { bytes: fleet.bytes / nodeSeconds, messages: fleet.messages / nodeSeconds };
}

/** The longest that it took until everybody asked it last, and until everybody knew. */
async function deaths(fleet: GossipFleet, count: number): Promise<{ suspectMs: number; knownMs: number }> {
  let suspectMs = 0;
  let knownMs = 0;
  for (let death = 0; death < count; death++) {
    const victim = fleet.random.pick(fleet.up.slice(3));
    await fleet.clock.advance(fleet.random.below(1_000));
    fleet.crash(victim);
    const others = fleet.up.length;
    const suspect = () => fleet.count(victim, (membership) => !membership.isAlive(victim)) === others;
    const dead = () => fleet.count(victim, (membership) => membership.state(victim) === "dead") === others;
    const first = await fleet.clock.until(suspect, KNOWN_LIMIT_MS);
    const then = await fleet.clock.until(dead, KNOWN_LIMIT_MS);
    suspectMs = Math.max(suspectMs, first ?? Infinity);
    knownMs = Math.max(knownMs, (first ?? Infinity) + (then ?? Infinity));
  }
  return { suspectMs, knownMs };
}

async function mistakes(fleet: GossipFleet, ms: number): Promise<string> {
  fleet.falseSuspicions = fleet.falseDeaths = 0;
  await fleet.clock.advance(ms);
  return `${fleet.falseSuspicions} suspicions, ${fleet.falseDeaths} deaths`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

function table(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) => line.map((cell, column) => cell.padStart(widths[column]!)).join("  ")).join(
    "\n",
  );
}
