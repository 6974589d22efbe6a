/** `atoll ring …`: what the ring is, and how it becomes another. A plan is shown before it is applied. */
import { setTimeout as delay } from "node:timers/promises";
import { printable } from "./address.ts";
import { EXIT, Failure, usage } from "./failure.ts";
import type { NodeClient } from "./node-client.ts";
import { type ChangeOptions, parseChange, parseIds } from "./ring-change.ts";
import {
  ringApplied,
  type RingChange,
  type RingPlan,
  ringPlan,
  type RingStatus,
  ringStatus,
} from "./ring-documents.ts";
import { cautions, moveLine, planLines, statusLines } from "./ring-view.ts";
import type { Terminal } from "./terminal.ts";

export interface WatchOptions {
  readonly watch?: boolean;
  /** Of `--watch`. */
  readonly interval?: string;
}

export interface ApplyOptions extends ChangeOptions, WatchOptions {
  readonly yes?: boolean;
}

export interface RecoverOptions extends WatchOptions {
  readonly survivors?: readonly string[];
  readonly confirm?: string;
}

const INTERVAL_SECONDS = 1;

export function fetchRing(client: NodeClient): Promise<RingStatus> {
  return client.json({ method: "GET", path: "/_/ring" }, ringStatus).catch(noSuchPage);
}

export async function showRing(client: NodeClient, terminal: Terminal, options: WatchOptions): Promise<void> {
  if (options.watch === true) await watch(client, terminal, options);
  else {
    const status = await fetchRing(client);
    await terminal.result(statusLines(status), status);
  }
}

export async function showPlan(
  client: NodeClient,
  terminal: Terminal,
  options: ChangeOptions,
): Promise<void> {
  const plan = await fetchPlan(client, parseChange(options));
  await terminal.result(planLines(plan), plan);
  await sayWhatToMind(client, terminal, plan);
}

/** Applies exactly the plan that was shown: it names the layout it was made on, and another one refuses it. */
export async function applyChange(
  client: NodeClient,
  terminal: Terminal,
  options: ApplyOptions,
): Promise<void> {
  const change = parseChange(options);
  const interval = intervalMs(options);
  const plan = await fetchPlan(client, change);
  if (terminal.isJson && options.yes !== true && !terminal.isInteractive) throw unasked();
  if (!terminal.isJson) await terminal.result(planLines(plan), plan);
  await sayWhatToMind(client, terminal, plan);
  if (options.yes !== true) await confirm(terminal);
  const { layout } = await apply(client, terminal, plan, change);
  const hint = options.watch === true ? "" : '; "atoll ring status --watch" shows how far it is';
  await terminal.result(
    layout === plan.base
      ? `layout ${layout} stays: there was nothing to change`
      : `layout ${layout} is decided and the ring moves to it${hint}`,
    { command: "apply", layout, plan },
  );
  if (options.watch === true) await watchFor(client, terminal, interval, layout);
}

/** What the plan does not say, and whoever says yes should know. */
async function sayWhatToMind(client: NodeClient, terminal: Terminal, plan: RingPlan): Promise<void> {
  if (terminal.isJson) return;
  const lines = await fetchRing(client).then((status) => cautions(plan, status), (error: unknown) => {
    if (!(error instanceof Failure)) throw error;
    return [`which nodes are there is not known: ${error.message}`];
  });
  if (lines.length > 0) await terminal.note(lines.map((line) => `atoll: ${line}`));
}

async function confirm(terminal: Terminal): Promise<void> {
  if (!terminal.isInteractive) throw unasked();
  const answer = await terminal.ask("Apply this plan? [y/N]");
  if (!/^y(es)?$/i.test(answer ?? "")) {
    throw new Failure(EXIT.error, `wanted y, got ${JSON.stringify(answer ?? "")}: nothing was changed`, {
      code: "not-confirmed",
    });
  }
}

function unasked(): Failure {
  return usage(
    "a plan is applied when somebody has said yes to it, and nobody is there to ask: wanted --yes",
  );
}

async function apply(
  client: NodeClient,
  terminal: Terminal,
  plan: RingPlan,
  change: RingChange,
): Promise<{ layout: number }> {
  const send = (document: { base: number; change: RingChange }) =>
    client.json({ method: "POST", path: "/_/ring/apply", document }, ringApplied);
  try {
    return await send({ base: plan.base, change });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.code === "layout-changed") await showNewPlan(terminal, error);
    if (error.code !== "refused" || change.confirm !== undefined) throw error;
    const words = await typedWords(terminal, error);
    return await send({ base: plan.base, change: { ...change, confirm: words } });
  }
}

/** And stops: what was said yes to was the other one. */
async function showNewPlan(terminal: Terminal, failure: Failure): Promise<void> {
  const parsed = ringPlan.safeParse(failure.members["plan"]);
  if (!parsed.success) return;
  await terminal.note([
    "",
    "The layout has changed since; the same change would now be:",
    "",
    ...planLines(parsed.data),
    "",
  ]);
}

/** What needs forcing is said loudly, and its words are typed: nobody types them by habit. */
async function typedWords(terminal: Terminal, refusal: Failure): Promise<string> {
  const words = refusal.members["confirm"];
  if (typeof words !== "string" || words === "") throw refusal;
  if (!terminal.isInteractive) {
    const hint = `${refusal.message}; to do it all the same, pass --confirm ${JSON.stringify(words)}`;
    throw new Failure(refusal.exitCode, hint, {
      code: refusal.code,
      members: refusal.members,
      ...(refusal.status !== undefined && { status: refusal.status }),
    });
  }
  const line = "!".repeat(72);
  await terminal.note(["", line, printable(refusal.message), line, ""]);
  const answer = await terminal.ask(`To do it all the same, type: ${printable(words)}\n>`);
  if (answer !== words) {
    throw new Failure(
      EXIT.error,
      `wanted ${JSON.stringify(words)}, got ${JSON.stringify(answer ?? "")}: nothing was changed`,
      {
        code: "not-confirmed",
      },
    );
  }
  return words;
}

/** For when a majority of the voters is gone for good. */
export async function forceRecover(
  client: NodeClient,
  terminal: Terminal,
  options: RecoverOptions,
): Promise<void> {
  const interval = intervalMs(options);
  const survivors = parseIds("--survivors", options.survivors);
  await terminal.note([
    "Forced recovery makes a ring of the survivors without asking the others. What only the others held is lost:",
    "every write that no survivor has, though it was acknowledged. A node left out that comes back must be emptied.",
  ]);
  const send = (confirm: string | undefined) =>
    client.json({
      method: "POST",
      path: "/_/ring/force-recover",
      document: { ...(survivors.length > 0 && { survivors }), ...(confirm !== undefined && { confirm }) },
    }, ringApplied).catch(noSuchPage);
  // Without the words a node does nothing but say what would be lost, and which words it wants.
  const { layout } = await send(options.confirm).catch(async (error: unknown) => {
    if (!(error instanceof Failure) || error.code !== "refused" || options.confirm !== undefined) throw error;
    return await send(await typedWords(terminal, error));
  });
  await terminal.result(`layout ${layout} is decided by force`, { command: "force-recover", layout });
  if (options.watch === true) await watchFor(client, terminal, interval, layout);
}

async function fetchPlan(client: NodeClient, change: RingChange): Promise<RingPlan> {
  return await client.json({ method: "POST", path: "/_/ring/plan", document: change }, ringPlan).catch(
    noSuchPage,
  );
}

async function watch(client: NodeClient, terminal: Terminal, options: WatchOptions): Promise<void> {
  await watchFor(client, terminal, intervalMs(options), 0);
}

/** Until a layout of at least that number is settled. */
async function watchFor(
  client: NodeClient,
  terminal: Terminal,
  interval: number,
  layout: number,
): Promise<void> {
  let shownAtMs = -Infinity;
  for (;;) {
    const status = await fetchRing(client);
    if (terminal.isJson) {
      await terminal.result("", status);
    } else if (status.move && performance.now() - shownAtMs >= terminal.progress.intervalMs) {
      terminal.progress.show(moveLine(status.move, { hasBar: terminal.progress.style === "bar" }));
      shownAtMs = performance.now();
    }
    if (status.layout.state === "settled" && status.layout.number >= layout) {
      if (!terminal.isJson) await terminal.result(statusLines(status), status);
      return;
    }
    await delay(interval);
  }
}

function intervalMs({ interval }: WatchOptions): number {
  if (interval === undefined) return 1_000 * INTERVAL_SECONDS;
  const seconds = /^\d{1,4}(\.\d{1,3})?$/.test(interval) ? Number(interval) : NaN;
  if (!(seconds > 0)) throw usage(`--interval: wanted seconds, more than 0, got ${interval}`);
  return 1_000 * seconds;
}

/** A node that has no such page is too old; there is no object to be missing. */
function noSuchPage(error: unknown): never {
  if (error instanceof Failure && error.status === 404) {
    throw new Failure(
      EXIT.error,
      `the node has no page for this: wanted one that knows of rings (${error.message})`,
      {
        code: "not-supported",
        status: 404,
      },
    );
  }
  throw error;
}
