/**
 * `npm run fuzz -- --minutes N [--requests N] [--seed S] [--listener public|peer|public-http2] [--runtime node|deno]`:
 * sends what no client should to real nodes, the listeners of both runtimes in turn unless told otherwise. A crash, a hang
 * of more than a second, a 500 and growing memory are failures; each is shown with the line that sends the same bytes again.
 */
import { parseArgs } from "node:util";
import type { Runtime } from "../helpers/atoll-process.ts";
import { type Door, DOORS, runCampaign } from "./campaign.ts";

const PROGRESS_MS = 10_000;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    requests: { type: "string", default: "1000000000" },
    seed: { type: "string" },
    listener: { type: "string" },
    runtime: { type: "string" },
    from: { type: "string", default: "0" },
    connections: { type: "string", default: "1000000000" },
  },
});

const number = (name: string, text: string): number => {
  const value = Number(text);
  if (!(value >= 0)) {
    console.error(`--${name}: wanted a number, got ${text}`);
    process.exit(2);
  }
  return value;
};
const oneOf = <T extends string>(
  name: string,
  choices: readonly T[],
  text: string | undefined,
): readonly T[] => {
  if (text === undefined) return choices;
  const chosen = choices.filter((choice) => choice === text);
  if (chosen.length === 0) {
    console.error(`--${name}: wanted ${choices.join(" or ")}, got ${text}`);
    process.exit(2);
  }
  return chosen;
};

const runtimes = oneOf<Runtime>("runtime", ["node", "deno"], values.runtime);
const listeners = oneOf<Door>("listener", DOORS, values.listener);
const seed = values.seed === undefined ? Math.floor(Math.random() * 1e9) : number("seed", values.seed);
const forMs = 60_000 * number("minutes", values.minutes) / (runtimes.length * listeners.length);

for (const runtime of runtimes) {
  for (const listener of listeners) {
    let toldMs = performance.now();
    const { answers, connections, bytes, tookMs, longestMs, rssBytes, failures } = await runCampaign({
      runtime,
      listener,
      seed,
      from: number("from", values.from),
      connections: number("connections", values.connections),
      requests: number("requests", values.requests),
      forMs,
      onProgress: (answers) => {
        if (performance.now() < toldMs + PROGRESS_MS) return;
        toldMs = performance.now();
        console.error(`${runtime} ${listener}: ${answers} answers`);
      },
    });
    const mib = (size: number): string => (size / (1 << 20)).toFixed(0);
    console.log(
      `${runtime} ${listener}: seed ${seed}, ${answers} requests answered on ${connections} connections ` +
        `(${mib(bytes)} MiB) in ${(tookMs / 1_000).toFixed(1)} s, ${
          (answers * 1_000 / tookMs).toFixed(0)
        } a second; ` +
        `longest /livez ${longestMs.toFixed(0)} ms; memory ${mib(rssBytes.first)}, ${mib(rssBytes.warm)}, ${
          mib(rssBytes.last)
        } MiB; ` +
        `${failures.length} failures`,
    );
    for (const failure of failures) console.log(`FAIL ${failure}`);
    if (failures.length > 0) process.exitCode = 1;
  }
}
