/**
 * Registers as a coordinator sees them: changes and strong reads, at a majority of the replicas.
 */
import { type Ballot, compareBallots, nextBallot, NO_BALLOT } from "../core/ballot.ts";
import type { Name } from "../core/names.ts";
import { Tally } from "../core/quorum.ts";
import {
  type AcceptReply,
  type PrepareReply,
  type RegisterValue,
  successor,
  versionOfChange,
} from "../core/register.ts";
import { RegisterRound } from "../core/register-round.ts";
import { AtollError, isAtollError } from "../errors.ts";
import type { Clock, Random } from "../ports.ts";
import { backoffMaxMs } from "./backoff.ts";
import { byDistance, Fanout } from "./fanout.ts";
import { KeyedQueue } from "./keyed-queue.ts";
import { LedRegisters } from "./led-registers.ts";
import type { Membership } from "./membership.ts";
import type { Memories } from "./repair/memories.ts";
import type { Counter, Metrics } from "./metrics.ts";
import type { PeerGate } from "./peer-gate.ts";
import {
  type Attempt,
  type Changed,
  type ChangeOutcome,
  type ChangeRequest,
  type Failure,
  failure,
  type Step,
  type Vote,
} from "./register-attempt.ts";
import type { Replica } from "./replica.ts";
import type { Quorum, Ring } from "./ring.ts";
import { defer, pause } from "./waiting.ts";

/** Until a write is answered, whatever happens. */
export const WRITE_DEADLINE_MS = 10_000;
const CALL_TIMEOUT_MS = 2_500;
/** Newer layouts that one change is carried over to before it counts as out of luck. */
const LAYOUTS_MAX = 16;

/** The change of a round that only finishes what others began; no change has this name. */
const CARRY_ON = "";

export interface RegistersDeps {
  ring: Ring;
  replica: Replica;
  gate: PeerGate;
  membership: Membership;
  clock: Clock;
  random: Random;
  metrics: Metrics;
  memories: Memories;
  /** A replica surely or perhaps has not accepted what a majority did. */
  onMissed: (node: string, name: Name) => void;
  /** Resolves when no newer layout is being fetched, however that went. */
  caughtUp: () => Promise<void>;
}

export class Registers {
  readonly #deps: RegistersDeps;
  /** Local changes of one name wait for each other instead of duelling. */
  readonly #queue = new KeyedQueue();
  readonly #led: LedRegisters;
  readonly #rounds: Record<"committed" | "preempted" | "unreachable", Counter>;

  constructor(deps: RegistersDeps) {
    this.#deps = deps;
    this.#led = new LedRegisters(deps);
    const rounds = (outcome: string) =>
      deps.metrics.counter("atoll_quorum_rounds_total", "Register rounds by outcome", { outcome });
    this.#rounds = {
      committed: rounds("committed"),
      preempted: rounds("preempted"),
      unreachable: rounds("unreachable"),
    };
  }

  /**
   * Rejects with `no-quorum` when it surely was not and will not be applied, with `outcome-unknown` when it may have been.
   */
  change(request: ChangeRequest): Promise<ChangeOutcome> {
    const changeId = this.#deps.random.hex(8);
    if (!this.#deps.ring.isAlone(request.name)) return this.#enqueue(request, changeId, NO_BALLOT);
    return this.#changeAlone(request, changeId).catch((error: unknown) => {
      // Another layout came while it waited, and nothing was done.
      if (!isAtollError(error, "wrong-layout")) throw error;
      return this.#enqueue(request, changeId, NO_BALLOT);
    });
  }

  /**
   * Has the register's value accepted anew, committed or not, so that all replicas that answer hold it in one ballot and
   * have promised nothing beyond.
   */
  async rewrite(name: Name, above: Ballot): Promise<void> {
    await this.#enqueue({ name, decide: () => ({ kind: "stop" }), rewrite: true }, CARRY_ON, above);
  }

  /** Finishes whatever was begun on a register, so that its value is committed, and says what that is. */
  async settle(
    name: Name,
    above: Ballot,
    trace?: string,
  ): Promise<{ ballot: Ballot; value: RegisterValue | null }> {
    const outcome = await this.#enqueue({ name, trace, decide: () => ({ kind: "stop" }) }, CARRY_ON, above);
    // What a full round wrote back stands in its own ballot; the ballot of what was found committed is not told here.
    return { ballot: outcome.kind === "changed" ? outcome.ballot : NO_BALLOT, value: outcome.value };
  }

  /** The time in the queue counts: who waited too long is told so before anything was tried. */
  #enqueue(request: ChangeRequest, changeId: string, above: Ballot): Promise<ChangeOutcome> {
    const deadlineMs = this.#deps.clock.monotonicMs() + WRITE_DEADLINE_MS;
    return this.#queue.run(request.name, () => this.#change(request, changeId, above, deadlineMs));
  }

  async #changeAlone(request: ChangeRequest, changeId: string): Promise<ChangeOutcome> {
    const { replica, ring, clock } = this.#deps;
    const knownAtMs = clock.monotonicMs();
    let written = false;
    const state = await replica.change(
      request.name,
      ring.number,
      (before) => nextBallot(before.promised, ring.self),
      (current, floor) => {
        const verdict = request.decide(current);
        if (verdict.kind === "stop") return undefined;
        written = true;
        return successor(current, { changeId, content: verdict.content, nowMs: clock.wallMs() }, floor);
      },
      request.chunk,
    );
    if (!written) return { kind: "stopped", value: state.value };
    this.#rounds.committed.add();
    const value = state.value!;
    return { kind: "changed", version: value.version, value, ballot: state.accepted, knownAtMs, trips: 0 };
  }

  async #change(
    request: ChangeRequest,
    changeId: string,
    above: Ballot,
    deadlineMs: number,
  ): Promise<ChangeOutcome> {
    const { clock, random, ring } = this.#deps;
    if (clock.monotonicMs() > deadlineMs) {
      throw this.#noQuorum(request.name, "other writes of it took too long");
    }
    const attempt: Attempt = {
      request,
      changeId,
      begun: false,
      firstVersion: Infinity,
      stored: new Set(),
      trips: 0,
    };
    if (changeId !== CARRY_ON) { // who finishes what others began wants their promises
      const result = await this.#changeLed(attempt);
      if (result?.kind === "changed") return result;
    }
    let seen = await this.#promisedHere(request.name, above);
    for (let tries = 0;; tries++) {
      const quorum = ring.quorum(request.name);
      const round = new RegisterRound(nextBallot(seen, ring.self), quorum.sets);
      const begunMs = clock.monotonicMs();
      const result = await this.#round(round, attempt, quorum);
      if (result.kind !== "failed") return result;
      if (compareBallots(round.ballot, seen) > 0) seen = round.ballot;
      if (result.overtaken && tries < LAYOUTS_MAX) {
        await this.#deps.caughtUp();
        if (ring.number !== quorum.number && clock.monotonicMs() < deadlineMs) continue;
      }
      const preempted = compareBallots(result.above, NO_BALLOT) > 0;
      (preempted ? this.#rounds.preempted : this.#rounds.unreachable).add();
      // Nothing was proposed, and a majority is out of reach: that will not be otherwise a moment later.
      if (!preempted && !attempt.begun) throw this.#noQuorum(request.name, result.reason);
      const backoffMs = random.fraction() * backoffMaxMs(tries, clock.monotonicMs() - begunMs);
      if (clock.monotonicMs() + backoffMs > deadlineMs) {
        if (!attempt.begun) throw this.#noQuorum(request.name, "other writers were quicker each time");
        throw new AtollError(
          "outcome-unknown",
          `wanted a majority to accept the change, got none in ${WRITE_DEADLINE_MS} ms: it may still take effect`,
        );
      }
      if (compareBallots(result.above, seen) > 0) seen = result.above;
      await pause(clock, backoffMs);
    }
  }

  /** Where this node is a replica its own promise is a good guess at the others': a first ballot below it would be wasted. */
  async #promisedHere(name: Name, above: Ballot): Promise<Ballot> {
    const { ring, replica } = this.#deps;
    if (!ring.isReplica(name)) return above;
    try {
      const { promised } = await replica.read(name, ring.number);
      return compareBallots(promised, above) > 0 ? promised : above;
    } catch {
      return above; // no vote of its own, then: the others have theirs
    }
  }

  #noQuorum(name: Name, reason: string): AtollError {
    const replicas = this.#deps.ring.replicas(name);
    const alive = replicas.filter((id) => id === this.#deps.ring.self || this.#deps.membership.isAlive(id));
    return new AtollError(
      "no-quorum",
      replicas.length === 0
        ? "this node does not belong to a ring yet"
        : `wanted a majority of ${replicas.length} replicas, ${alive.length} of them seem alive: ${reason}`,
    );
  }

  async #round(
    round: RegisterRound,
    attempt: Attempt,
    quorum: Quorum,
  ): Promise<ChangeOutcome | Failure> {
    const { clock } = this.#deps;
    const { request, changeId } = attempt;
    const knownAtMs = clock.monotonicMs();
    const prepared = await this.#ask(round, attempt, quorum, "prepare");
    if (prepared.kind !== "decide") return failure(prepared, attempt);
    const { current } = prepared;
    this.#assertStored(attempt, quorum);
    let version = versionOfChange(current.value, changeId);
    let value = current.value;
    if (version === undefined) {
      // So many changes since, or a tombstone collected in between, that the lineage no longer tells whether ours is among
      // them: doing it again could do it twice.
      const oldest = value ? value.version - value.ancestors.length : current.floor + 1;
      if (attempt.firstVersion < oldest) {
        throw new AtollError(
          "outcome-unknown",
          "too many other changes came between to tell whether this one took effect",
        );
      }
      const verdict = request.decide(current.value);
      if (verdict.kind === "write") {
        const change = { changeId, content: verdict.content, nowMs: clock.wallMs() };
        value = successor(current.value, change, current.floor);
        version = value.version;
      } else if (current.committed && !attempt.begun && !request.rewrite) {
        return { kind: "stopped", value: current.value };
      }
    }
    if (value === null) {
      // An earlier proposal of ours may live on at a minority, and there is no value to bury it under.
      if (attempt.begun) {
        throw new AtollError("outcome-unknown", "wanted to know whether the change took effect");
      }
      return { kind: "stopped", value: null };
    }
    round.propose(value);
    // A value that is only carried on was somebody else's proposal: carrying it on does not begin ours.
    if (version !== undefined) {
      attempt.begun = true;
      attempt.firstVersion = Math.min(attempt.firstVersion, version);
    }
    const result = await this.#accepted(round, attempt, quorum, value, knownAtMs);
    if (result.kind !== "changed") return result;
    if (version === undefined && changeId !== CARRY_ON) return { kind: "stopped", value };
    return { ...result, version: version ?? value.version };
  }

  /**
   * Without promises, where this node made the last change. What does not go through so is a full round's business, and so is
   * an object whose only chunk travels with the promises. It must not travel with the value instead: whoever finds a value at
   * one replica may carry it on, and so make it the committed one, and that must never be all there is of its bytes.
   */
  async #changeLed(attempt: Attempt): Promise<Changed | Failure | undefined> {
    if (attempt.request.chunk) return undefined;
    const { clock, ring } = this.#deps;
    const { request, changeId } = attempt;
    const knownAtMs = clock.monotonicMs();
    const quorum = ring.quorum(request.name);
    const lead = await this.#led.take(request.name, quorum);
    const verdict = lead && request.decide(lead.value);
    // That it stops here says nothing: somebody may have changed the value since, and only a majority would know.
    if (verdict?.kind !== "write") return undefined;
    const change = { changeId, content: verdict.content, nowMs: clock.wallMs() };
    const value = successor(lead!.value, change);
    attempt.begun = true;
    attempt.firstVersion = value.version;
    const round = new RegisterRound(lead!.ballot, quorum.sets, value);
    return await this.#accepted(round, attempt, quorum, value, knownAtMs);
  }

  /** Phase 2. */
  async #accepted(
    round: RegisterRound,
    attempt: Attempt,
    quorum: Quorum,
    value: RegisterValue,
    knownAtMs: number,
  ): Promise<Changed | Failure> {
    const { ballot } = round;
    const accepted = await this.#ask(round, attempt, quorum, "accept", value);
    if (accepted.kind !== "committed") return failure(accepted, attempt);
    this.#rounds.committed.add();
    this.#led.committed(attempt.request.name, ballot, value, quorum.number);
    return { kind: "changed", version: value.version, value, ballot, knownAtMs, trips: attempt.trips };
  }

  /** Sends one phase's messages and waits for the step they lead to. What comes later still arrives, and is ignored. */
  #ask(
    round: RegisterRound,
    attempt: Attempt,
    quorum: Quorum,
    phase: "prepare" | "accept",
    value?: RegisterValue,
  ): Promise<Step> {
    const { ring, membership } = this.#deps;
    const { order, aliveCount } = byDistance(quorum.replicas, ring.self, membership);
    if (order.length === 0) return Promise.resolve({ kind: "failed", above: NO_BALLOT });
    attempt.trips++;
    const outcome = defer<Step>();
    let reason: unknown;
    let overtaken = false;
    let committed = false;
    let decided = false;
    const missed = new Set(order);
    const fanout = new Fanout(order, quorum.sets, (id) => {
      const vote: Promise<Vote | undefined> = phase === "prepare"
        ? this.#prepare(id, round.ballot, attempt, quorum)
        : this.#accept(id, round.ballot, attempt, quorum, value!);
      missed.delete(id);
      void vote.catch((error: unknown) => {
        reason = error;
        overtaken ||= isAtollError(error, "wrong-layout");
        missed.add(id);
        if (committed) this.#deps.onMissed(id, attempt.request.name);
        return undefined;
      }).then((answered) => {
        const answer = answered?.reply;
        const testimony = answered?.testimony;
        const step = phase === "prepare"
          ? round.prepared(id, answer as PrepareReply | undefined, testimony)
          : round.accepted(id, answer as AcceptReply | undefined, testimony);
        if (step.kind === "committed") {
          committed = true;
          for (const absent of missed) this.#deps.onMissed(absent, attempt.request.name);
        }
        if (step.kind === "failed") outcome.resolve({ ...step, cause: reason, overtaken });
        else if (step.kind !== "wait") outcome.resolve(step);
        decided ||= step.kind !== "wait";
        if (decided) return;
        // A refusal helps as little as silence does: somebody else is needed for the majority.
        if (answer === undefined || answer.kind === "refused") fanout.failed();
        fanout.undecided();
      });
    });
    fanout.widely(aliveCount);
    return outcome.promise;
  }

  async #prepare(id: string, ballot: Ballot, attempt: Attempt, { number }: Quorum): Promise<Vote> {
    const { ring, replica, gate, memories } = this.#deps;
    const { name, trace } = attempt.request;
    const chunk = attempt.stored.has(id) ? undefined : attempt.request.chunk;
    const { reply, stored, testimony } = id === ring.self
      ? { ...await replica.prepare(name, ballot, number, chunk), testimony: memories.testimony() }
      : await gate.call(id, { type: "prepare", name, ballot, chunk }, {
        timeoutMs: CALL_TIMEOUT_MS,
        trace,
        layout: number,
      });
    if (chunk && stored === chunk.id) attempt.stored.add(id);
    else if (chunk) throw new AtollError("peer-garbage", `node ${id} stored ${stored}, not ${chunk.id}`);
    return { reply, testimony };
  }

  async #accept(
    id: string,
    ballot: Ballot,
    attempt: Attempt,
    { number }: Quorum,
    value: RegisterValue,
  ): Promise<Vote> {
    const { ring, replica, gate, memories } = this.#deps;
    const { name, trace } = attempt.request;
    if (id === ring.self) {
      return { reply: await replica.accept(name, ballot, value, number), testimony: memories.testimony() };
    }
    const request = { type: "accept", name, ballot, value } as const;
    return await gate.call(id, request, { timeoutMs: CALL_TIMEOUT_MS, trace, layout: number });
  }

  /** Whoever promised has stored the chunk, so a majority of promises is a majority of copies: checked all the same. */
  #assertStored({ request, stored }: Attempt, { sets }: Quorum): void {
    if (!request.chunk) return;
    const tally = new Tally(sets);
    for (const id of stored) tally.vote(id, true);
    if (tally.decision !== "reached") throw this.#noQuorum(request.name, "too few stored the chunk");
  }
}
