/**
 * Proposers and readers over the register's pure parts, on a network that loses, repeats and reorders, by choices that
 * fast-check makes and shrinks. A ghost that sees every acceptor's state knows what is committed, and nobody asks it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Ballot, nextBallot, NO_BALLOT, stepAfter } from "../../src/core/ballot.ts";
import { type ReadStep, RegisterRead } from "../../src/core/register-read.ts";
import { type Current, RegisterRound, type RoundStep } from "../../src/core/register-round.ts";
import {
  accept,
  type AcceptorState,
  EMPTY_ACCEPTOR,
  prepare,
  type RegisterValue,
  successor,
  versionOfChange,
} from "../../src/core/register.ts";

type Sets = readonly (readonly string[])[];

const PROPOSERS = ["p", "q", "r"];
const ATTEMPTS_MAX = 5;
const TOPOLOGIES: readonly Sets[] = [
  [["a", "b", "c"]],
  [["a", "b", "c", "d", "e"]],
  [["a", "b", "c"], ["b", "c", "d"]], // while replicas move
  [["a", "b", "c"], ["d", "e", "f"]],
];

/** What is committed, by counting; and that it is one chain. */
class Ghost {
  readonly #sets: Sets;
  readonly #byBallot = new Map<string, { value: RegisterValue; members: Set<string> }>();
  readonly #changeAt = new Map<number, string>();
  readonly #versionOf = new Map<string, number>();
  readonly #valueAt = new Map<number, RegisterValue>();
  newest = 0;

  constructor(sets: Sets) {
    this.#sets = sets;
  }

  saw(member: string, { accepted, value }: AcceptorState): void {
    if (!value) return;
    const id = `${accepted.counter} ${accepted.node}`;
    const known = this.#byBallot.get(id) ?? { value, members: new Set() };
    this.#byBallot.set(id, known);
    assert.deepEqual(value, known.value, `two values were accepted in ballot ${id}`);
    known.members.add(member);
    const chosen = this.#sets.every((set) =>
      set.filter((one) => known.members.has(one)).length * 2 > set.length
    );
    if (chosen) this.#commit(value);
  }

  #commit(value: RegisterValue): void {
    const same = this.#valueAt.get(value.version);
    if (same) assert.deepEqual(value, same, `two values were committed as version ${value.version}`);
    this.#valueAt.set(value.version, value);
    const lineage = [value.changeId, ...value.ancestors];
    assert.equal(lineage.length, value.version, "each version is one change after the one before it");
    for (const [depth, changeId] of lineage.entries()) {
      const version = value.version - depth;
      assert.equal(
        this.#changeAt.get(version) ?? changeId,
        changeId,
        `the chain forks at version ${version}`,
      );
      assert.equal(this.#versionOf.get(changeId) ?? version, version, `change ${changeId} was applied twice`);
      this.#changeAt.set(version, changeId);
      this.#versionOf.set(changeId, version);
    }
    for (const [version, other] of this.#valueAt) {
      assert.equal(Math.sign(version - value.version) * (other.modifiedMs - value.modifiedMs) >= 0, true);
    }
    this.newest = Math.max(this.newest, value.version);
  }

  versionOf(changeId: string): number | undefined {
    return this.#versionOf.get(changeId);
  }
}

class World {
  readonly sets: Sets;
  readonly members: readonly string[];
  readonly ghost: Ghost;
  readonly inFlight: (() => void)[] = [];
  readonly #acceptors = new Map<string, AcceptorState>();
  /** What waits for answers; called with a member, it learns that none will come from it. */
  readonly waiting = new Map<object, (member: string) => void>();
  readonly counters = new Map<string, Ballot>();
  /** Rounds that began without promises. */
  steps = 0;
  /** What a proposer saw committed last in a ballot of its own. */
  readonly led = new Map<string, { ballot: Ballot; value: RegisterValue }>();

  constructor(sets: Sets) {
    this.sets = sets;
    this.members = [...new Set(sets.flat())];
    this.ghost = new Ghost(sets);
  }

  call<R>(
    member: string,
    handle: (state: AcceptorState) => { state: AcceptorState; reply: R },
    answered: (reply: R) => void,
  ): void {
    this.inFlight.push(() => {
      const { state, reply } = handle(this.#acceptors.get(member) ?? EMPTY_ACCEPTOR);
      this.#acceptors.set(member, state);
      this.ghost.saw(member, state);
      this.inFlight.push(() => answered(reply));
    });
  }

  /** An acceptor comes back with what it had made durable, and nothing else. */
  restart(member: string): void {
    const state = this.#acceptors.get(member);
    if (state) this.#acceptors.set(member, JSON.parse(JSON.stringify(state)));
  }

  ballotOf(node: string): Ballot {
    const ballot = nextBallot(this.counters.get(node) ?? NO_BALLOT, node);
    this.counters.set(node, ballot);
    return ballot;
  }

  learn(node: string, above: Ballot): void {
    const counter = Math.max(above.counter, this.counters.get(node)?.counter ?? 0);
    this.counters.set(node, { counter, node });
  }
}

type Outcome = { kind: "known"; value: RegisterValue | null } | { kind: "failed" };

/** One round without promises, by the proposer of what was committed last; false when that is somebody else. */
function step(
  world: World,
  node: string,
  isAlive: () => boolean,
  successorOf: (value: RegisterValue) => RegisterValue,
  done: (value: RegisterValue | undefined) => void,
): boolean {
  const led = world.led.get(node);
  const ballot = led && stepAfter(led.ballot, node);
  world.led.delete(node);
  if (!ballot) return false;
  const value = successorOf(led.value);
  const round = new RegisterRound(ballot, world.sets, value);
  const answered = (next: RoundStep): void => {
    if (!isAlive() || !world.waiting.has(round) || next.kind === "wait") return;
    world.waiting.delete(round);
    if (next.kind === "committed") world.led.set(node, { ballot, value });
    else if (next.kind === "failed") world.learn(node, next.above);
    done(next.kind === "committed" ? value : undefined);
  };
  world.waiting.set(round, (member) => answered(round.accepted(member, undefined)));
  for (const member of world.members) {
    world.call(
      member,
      (state) => accept(state, ballot, value),
      (reply) => answered(round.accepted(member, reply)),
    );
  }
  return true;
}

/** Rounds until one settles it: `decide` returns what to propose, or undefined to answer from what is committed. */
function settle(
  world: World,
  node: string,
  isAlive: () => boolean,
  decide: (current: Current) => RegisterValue | undefined,
  done: (outcome: Outcome) => void,
  attempt = 1,
): void {
  if (attempt > ATTEMPTS_MAX) return done({ kind: "failed" });
  const round = new RegisterRound(world.ballotOf(node), world.sets);
  let phase: "prepare" | "accept" = "prepare";
  const end = (outcome: Outcome | undefined): void => {
    world.waiting.delete(round);
    if (outcome) done(outcome);
    else settle(world, node, isAlive, decide, done, attempt + 1);
  };
  const step = (next: RoundStep): void => {
    if (!isAlive() || !world.waiting.has(round) || next.kind === "wait") return;
    if (next.kind === "committed") {
      world.led.set(node, { ballot: round.ballot, value: next.value });
      return end({ kind: "known", value: next.value });
    }
    if (next.kind === "failed") {
      world.learn(node, next.above);
      return end(undefined);
    }
    const value = decide(next.current);
    if (value === undefined) return end({ kind: "known", value: next.current.value });
    round.propose(value);
    phase = "accept";
    for (const member of world.members) {
      world.call(
        member,
        (state) => accept(state, round.ballot, value),
        (reply) => step(round.accepted(member, reply)),
      );
    }
  };
  world.waiting.set(round, (member) => {
    step(phase === "prepare" ? round.prepared(member, undefined) : round.accepted(member, undefined));
  });
  for (const member of world.members) {
    world.call(
      member,
      (state) => prepare(state, round.ballot),
      (reply) => step(round.prepared(member, reply)),
    );
  }
}

interface Change {
  readonly changeId: string;
  proposed: boolean;
  version?: number;
}

function write(world: World, node: string, isAlive: () => boolean, change: Change, nowMs: number): void {
  const newestBefore = world.ghost.newest;
  const { changeId } = change;
  const propose = (current: RegisterValue | null): RegisterValue => {
    change.proposed = true;
    return successor(current, { changeId, content: { kind: "tombstone" }, nowMs });
  };
  const done = (value: RegisterValue | null): void => {
    const version = versionOfChange(value, changeId);
    assert.ok(version !== undefined, "a settled write finds its change");
    assert.equal(
      world.ghost.versionOf(changeId),
      version,
      "an acknowledged write is committed at its version",
    );
    assert.ok(version > newestBefore, "a write's version is above all that was committed before it began");
    change.version = version;
  };
  const settled = (): void =>
    settle(world, node, isAlive, (current) => {
      // Overtaken: an earlier ballot of this very change was built upon.
      if (versionOfChange(current.value, changeId) !== undefined) {
        return current.committed ? undefined : current.value!;
      }
      return propose(current.value);
    }, (outcome) => outcome.kind === "known" && done(outcome.value));
  const isStep = step(world, node, isAlive, propose, (value) => value ? done(value) : settled());
  if (isStep) world.steps++;
  else settled();
}

function read(
  world: World,
  node: string,
  isAlive: () => boolean,
  done: (value: RegisterValue | null) => void,
): void {
  const newestBefore = world.ghost.newest;
  const answer = (value: RegisterValue | null): void => {
    assert.ok(
      (value?.version ?? 0) >= newestBefore,
      `read ${value?.version ?? 0}, older than ${newestBefore}`,
    );
    if (value) {
      assert.equal(world.ghost.versionOf(value.changeId), value.version, "what is read is committed");
    }
    done(value);
  };
  const flight = new RegisterRead(world.sets);
  const step = (next: ReadStep): void => {
    if (!isAlive() || !world.waiting.has(flight) || next.kind === "wait") return;
    world.waiting.delete(flight);
    if (next.kind === "current") return answer(next.report.value);
    if (next.kind === "unreachable") return;
    world.learn(node, next.above);
    settle(
      world,
      node,
      isAlive,
      (current) => current.committed ? undefined : current.value!,
      (outcome) => outcome.kind === "known" && answer(outcome.value),
    );
  };
  world.waiting.set(flight, (member) => step(flight.reported(member, undefined)));
  for (const member of world.members) {
    world.call(member, (state) => ({ state, reply: state }), (reply) => step(flight.reported(member, reply)));
  }
}

/** Plays the choices, then heals the network and asks what became of it all. Returns what happened, for counting. */
function play(
  sets: Sets,
  choices: readonly number[],
): { committed: number; acknowledged: number; reads: number; steps: number } {
  const world = new World(sets);
  const lives = new Map(PROPOSERS.map((node) => [node, 0]));
  const changes: Change[] = [];
  let reads = 0;
  let at = 0;
  const choose = (below: number): number => (choices[at++] ?? 0) % below;
  const start = (node: string): () => boolean => {
    const life = lives.get(node);
    return () => lives.get(node) === life;
  };
  const begin = (): void => {
    const node = PROPOSERS[choose(PROPOSERS.length)]!;
    if (choose(3) === 0) return read(world, node, start(node), () => reads++);
    if (changes.length === 15) return; // one more and the oldest ancestors would be forgotten
    const change: Change = { changeId: `change ${changes.length}`, proposed: false };
    changes.push(change);
    write(world, node, start(node), change, choose(1000));
  };
  const actions: Record<number, () => void> = {
    0: begin,
    1: begin,
    2: () => void world.inFlight.splice(choose(world.inFlight.length), 1), // lost
    3: () => world.inFlight[choose(world.inFlight.length)]?.(), // delivered, and will be again
    4: () => world.restart(world.members[choose(world.members.length)]!),
    5: () =>
      [...world.waiting.values()][choose(world.waiting.size)]?.(world.members[choose(world.members.length)]!),
    6: () => { // a proposer restarts and forgets its counter: ballots.ts says that this is harmless
      const node = PROPOSERS[choose(PROPOSERS.length)]!;
      lives.set(node, lives.get(node)! + 1);
      world.counters.delete(node);
      world.led.delete(node);
    },
  };
  while (at < choices.length) {
    const action = actions[choose(32)];
    if (action) action();
    else world.inFlight.splice(choose(world.inFlight.length), 1)[0]?.();
  }
  const committed = world.ghost.newest;

  // Quiet: the old proposers are gone, what is in flight arrives, and a reader must get an answer.
  for (const node of PROPOSERS) lives.set(node, -1);
  let final: RegisterValue | null | undefined;
  read(world, "reader", () => true, (value) => (final = value));
  while (world.inFlight.length > 0) world.inFlight.shift()!();
  assert.notEqual(final, undefined, "a read on a quiet network ends");
  for (const { changeId, proposed, version } of changes) {
    if (version !== undefined) {
      assert.equal(versionOfChange(final!, changeId), version, "acknowledged and still there");
    }
    if (!proposed) {
      assert.equal(versionOfChange(final!, changeId), undefined, "never proposed, so never applied");
    }
  }
  const acknowledged = changes.filter(({ version }) => version !== undefined).length;
  return { committed, acknowledged, reads, steps: world.steps };
}

for (const sets of TOPOLOGIES) {
  const shape = sets.map((set) => set.join("")).join(" and ");
  test(`a register on ${shape} commits one chain, forgets nothing and reads nothing old`, () => {
    let committed = 0;
    let acknowledged = 0;
    let reads = 0;
    let steps = 0;
    const choices = fc.array(fc.nat(0xffff), { minLength: 200, maxLength: 900, size: "max" });
    fc.assert(
      fc.property(choices, (list) => {
        const played = play(sets, list);
        committed += played.committed;
        acknowledged += played.acknowledged;
        reads += played.reads;
        steps += played.steps;
      }),
      // Shrinking a schedule of hundreds of choices can take minutes: stop, and show the shortest so far.
      { numRuns: 1000, interruptAfterTimeLimit: 15_000 },
    );
    // Schedules in which nothing ever succeeds would prove nothing.
    const counts = [committed, acknowledged, reads, steps];
    assert.ok(committed > 500 && acknowledged > 300 && reads > 300 && steps > 100, counts.join(" "));
  });
}
