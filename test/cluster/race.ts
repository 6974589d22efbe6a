/** `npm run race -- --rounds N`: create-only races on a ring of five, all up and then with one killed; --killed: only the latter. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startRing } from "../helpers/atoll-ring.ts";
import { race } from "../helpers/create-race.ts";

const CLIENTS = 8;

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "1000" }, killed: { type: "boolean", default: false } },
});
const rounds = Number(values.rounds);
if (!Number.isSafeInteger(rounds) || rounds < 1) {
  console.error("wanted --rounds as a whole number above 0");
  process.exit(2);
}
const directory = mkdtempSync(join(tmpdir(), "atoll-race-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

console.log(`${CLIENTS} clients at 5 nodes (node, deno, node, deno, node), create-only`);
for (const killed of values.killed ? [1] : [undefined, 1]) {
  await using ring = await startRing({
    directory: join(directory, String(killed)),
    runtimes: ["node", "deno", "node", "deno", "node"],
  });
  const result = await race({ ring, rounds, clients: CLIENTS, ...(killed !== undefined && { killed }) });
  console.log(
    `${killed === undefined ? "all nodes up" : "one killed and restarted"}: exactly one winner in ` +
      `${result.oneWinner} of ${rounds} rounds (${result.winnerNotTold} whose winner was cut off before it heard), ` +
      `${result.seconds.toFixed(1)} s`,
  );
  for (const fault of result.faults.slice(0, 20)) console.log(`  ${fault}`);
  if (result.oneWinner !== rounds) process.exitCode = 1;
}
