/** Proof that the simulator can see: of the code with one thing broken in it, some run must fail. */
import assert from "node:assert/strict";
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";
import { PROJECT, run } from "../tools/project.ts";

/** Within so many runs. */
const SEEDS_MAX = 1_000;

interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** A second text, where one is not enough. */
  readonly and?: { readonly from: string; readonly to: string };
  /** Seen by runs whose ring changes: the others need not be played. */
  readonly isOfChanges?: boolean;
  /** Where to begin, near a run that sees it, so that the test is short. */
  readonly firstSeed?: number;
}

const MUTANTS: readonly Mutant[] = [
  {
    name: "answer a read without finishing what was begun",
    file: "src/core/register-read.ts",
    from: `if (same.tally.vote(from, true) === "reached") {`,
    to: `if (same.tally.vote(from, true) === "reached" || answered === "reached") {`,
  },
  {
    name: "accept below its promise",
    file: "src/core/register.ts",
    from: "if (compareBallots(ballot, state.promised) < 0) {",
    to: "if (compareBallots(ballot, state.accepted) < 0) {",
  },
  {
    name: "acknowledge before the sync",
    file: "src/node/replica.ts",
    from: `      await this.#catalog.commit({
        registers: [{ name, state }],`,
    to: `      void this.#catalog.commit({
        registers: [{ name, state }],`,
    and: {
      from: "{ name, version: value.version }] }),\n      });",
      to: "{ name, version: value.version }] }),\n      }).catch(() => {});",
    },
  },
  {
    name: "forget its promises in a restart",
    file: "src/node/replica.ts",
    from: "          ...(state !== before && { registers: [{ name, state }] }),\n",
    to: "",
    firstSeed: 295,
  },
  {
    name: "vote with a wiped disk as if it knew",
    file: "src/node/repair/recovery.ts",
    from: "if (this.#lost.size > 0 && this.#lost.has(partitionOf(name))) throw forgotten();",
    to: "",
    firstSeed: 132,
  },
  {
    name: "collect chunks too early",
    file: "src/node/repair/garbage.ts",
    from: "return !this.#lately.knowsAll || this.#held.has(id) || this.#lately.has(id);",
    to: "return this.#held.has(id);",
    firstSeed: 76,
  },
  {
    name: "collect a tombstone that one replica lacks",
    file: "src/node/repair/tombstones.ts",
    from: "if (!states.every((state) => isAtRest(state, ballot))) {",
    to: "if (states.filter((state) => isAtRest(state, ballot)).length < 2) {",
    firstSeed: 330,
  },
  {
    name: "give out a chunk without looking at its bytes",
    file: "src/node/chunk-store.ts",
    from: "if (bytes && this.#hashing.sha256(bytes) === id) return bytes;",
    to: "if (bytes) return bytes;",
  },
  {
    name: "read each chunk once in its life",
    file: "src/node/repair/scrub.ts",
    from: "if (!this.#onDemand) this.#recent.clear();",
    to: "",
  },
  {
    name: "leave promises above what was accepted, so that replicas never come to rest",
    file: "src/node/registers.ts",
    from: "&& !attempt.begun && !request.rewrite) {",
    to: "&& !attempt.begun) {",
  },
  {
    name: "take a lead over a register into ballots that others may have promised below",
    file: "src/core/ballot.ts",
    from: 'return { counter, node: `${node}${STEP}${next.toString(16).padStart(STEP_DIGITS, "0")}` };',
    to: "return { counter: counter + 1, node: `${node}${STEP}` };",
    firstSeed: 56,
  },
  {
    name: "propose a small object before a majority has its bytes",
    file: "src/node/registers.ts",
    from: "if (attempt.request.chunk) return undefined;",
    to: "",
  },
  {
    name: "count what a replica is owed as its vote",
    file: "src/node/registers.ts",
    from: `if (committed) this.#deps.onMissed(id, attempt.request.name);
        return undefined;`,
    to: `this.#deps.onMissed(id, attempt.request.name);
        return phase === "accept" ? { reply: { kind: "accepted" } } : undefined;`,
  },
  {
    name: "let a majority of the new replicas decide while they still take over",
    file: "src/core/layout.ts",
    from: "return old && !sameMembers(old, set) ? [old, set] : [set];",
    to: "return [set];",
    isOfChanges: true,
  },
  {
    name: "settle before a majority has taken over",
    file: "src/node/layout/steward.ts",
    from: "if (!isEnough) return void (this.#enough = undefined);",
    to: "",
    and: {
      from: "if (!allDone && clock.monotonicMs() - this.#enough.sinceMs < STRAGGLERS_MS) return;",
      to: "",
    },
    firstSeed: 410,
    isOfChanges: true,
  },
];

/** The mutants are played on Node, whichever runtime asks: once is enough. */
const skip = process.versions["deno"] === undefined ? false : "the mutants are played by the tests on Node";

for (const { name, file, from, to, and, isOfChanges = false, firstSeed = 1 } of MUTANTS) {
  test(`a node that would ${name} is caught within ${SEEDS_MAX} runs`, { skip }, async (t) => {
    using directory = temporaryDirectory();
    for (const part of ["src", "test/helpers", "test/simulation"]) {
      await mkdir(join(directory.path, part), { recursive: true });
      await cp(join(PROJECT, part), join(directory.path, part), { recursive: true });
    }
    for (const part of ["node_modules", "package.json"]) {
      await symlink(join(PROJECT, part), join(directory.path, part));
    }
    const path = join(directory.path, file);
    const code = await readFile(path, "utf8");
    await writeFile(path, mutate(mutate(code, { from, to }), and));
    const simulate = join(directory.path, "test/simulation/simulate.ts");
    const { code: exit, output } = await run(
      ["node", simulate, "--seeds", String(SEEDS_MAX), "--seed", String(firstSeed)].concat(
        isOfChanges ? ["--changing"] : [],
      ),
      { show: false },
    );
    assert.equal(exit, 1, `nothing was noticed: ${output}`);
    const [again] = /npm run simulate -- --seeds 1 --seed \d+/.exec(output) ?? assert.fail(output);
    t.diagnostic(again);
  });
}

function mutate(code: string, change: { from: string; to: string } | undefined): string {
  if (!change) return code;
  assert.equal(code.split(change.from).length, 2, `wanted this once in the code: ${change.from}`);
  return code.replace(change.from, () => change.to);
}
