/**
 * Which version is current? Asked of a majority, shared by those who may share it.
 *
 * A question that is already under way may miss a write that finished in between, so a reader never joins it: it waits
 * for the next one, which starts after the reader came and serves everybody who waits by then.
 */
import { type Ballot, compareBallots, NO_BALLOT, sameBallot } from "../core/ballot.ts";
import type { Name } from "../core/names.ts";
import type { RegisterValue } from "../core/register.ts";
import { type ReadReport, RegisterRead } from "../core/register-read.ts";
import { AtollError, isAtollError, messageOf } from "../errors.ts";
import type { Clock } from "../ports.ts";
import { byDistance, Fanout } from "./fanout.ts";
import type { Membership } from "./membership.ts";
import type { Memories } from "./repair/memories.ts";
import type { Metrics } from "./metrics.ts";
import type { PeerGate } from "./peer-gate.ts";
import type { Outlook } from "./outlook.ts";
import type { Registers } from "./registers.ts";
import type { Replica } from "./replica.ts";
import type { Quorum, Ring } from "./ring.ts";
import { defer } from "./waiting.ts";

const CALL_TIMEOUT_MS = 2_500;
/** How long stragglers may still make a mixed majority alike, before a full round settles it. */
const MIXED_PATIENCE_MS = 20;
/** A replica that has not answered by this many round trips is helped out by the next one. */
const HEDGE_ROUND_TRIPS = 3;
const HEDGE_MIN_MS = 10;
const REPAIRS_MAX = 64;
/** Newer layouts by which one question is put again. */
const LAYOUTS_MAX = 16;

export interface CurrentValue {
  readonly ballot: Ballot;
  readonly value: RegisterValue | null;
  /** Monotonic ms before which nobody had a newer value. */
  readonly knownAtMs: number;
  /** Of this node's own look into its catalog, where it was needed. */
  readonly catalogMs?: number | undefined;
}

export interface StrongReadsDeps {
  ring: Ring;
  replica: Replica;
  gate: PeerGate;
  membership: Membership;
  registers: Registers;
  outlook: Outlook;
  clock: Clock;
  metrics: Metrics;
  memories: Memories;
  /** Resolves when no newer layout is being fetched, however that went. */
  caughtUp: () => Promise<void>;
  /** What this node holds of a name already: it is not sent again. */
  held: (name: Name) => { ballot: Ballot; value: RegisterValue | null } | undefined;
}

interface Flight {
  readonly answer: Promise<CurrentValue>;
  next: Promise<CurrentValue> | undefined;
}

export class StrongReads {
  readonly #deps: StrongReadsDeps;
  readonly #flights = new Map<Name, Flight>();
  #repairs = 0;

  constructor(deps: StrongReadsDeps) {
    this.#deps = deps;
  }

  /** The answer without asking anybody, where this node alone is the majority and remembers. */
  peek(name: Name): CurrentValue | undefined {
    const { ring, replica, clock } = this.#deps;
    if (!ring.isAlone(name)) return undefined;
    const state = replica.peek(name);
    return state && { ballot: state.accepted, value: state.value, knownAtMs: clock.monotonicMs() };
  }

  /** Rejects with `no-quorum` when a majority does not answer. */
  read(name: Name, trace?: string): Promise<CurrentValue> {
    const flight = this.#flights.get(name);
    if (!flight) return this.#start(name, trace);
    flight.next ??= flight.answer.then(() => {}, () => {}).then(() => this.#start(name, trace));
    return flight.next;
  }

  #start(name: Name, trace: string | undefined): Promise<CurrentValue> {
    const answer = this.#askByNewest(name, trace);
    const flight: Flight = { answer, next: undefined };
    this.#flights.set(name, flight);
    const landed = (): void => {
      if (this.#flights.get(name) === flight && !flight.next) this.#flights.delete(name);
    };
    answer.then(landed, landed);
    return answer;
  }

  /** Once more by each newer layout that comes to light on the way. */
  async #askByNewest(name: Name, trace: string | undefined): Promise<CurrentValue> {
    const { ring, caughtUp } = this.#deps;
    for (let layouts = 1;; layouts++) {
      const quorum = ring.quorum(name);
      try {
        return await this.#ask(name, quorum, trace);
      } catch (error) {
        if (!isOvertaken(error) || layouts === LAYOUTS_MAX) throw error;
        await caughtUp();
        if (ring.number === quorum.number) throw error;
      }
    }
  }

  async #ask(name: Name, quorum: Quorum, trace: string | undefined): Promise<CurrentValue> {
    const { ring, membership, clock, registers, metrics } = this.#deps;
    const knownAtMs = clock.monotonicMs();
    const { replicas, sets } = quorum;
    const { order, aliveCount } = byDistance(replicas, ring.self, membership);
    if (order.length === 0) throw new AtollError("no-quorum", "this node does not belong to a ring yet");
    if (aliveCount < order.length) await this.#deps.outlook.mustHope(quorum);
    const read = new RegisterRead(sets);
    const outcome = defer<{ kind: "current"; report: ReadReport } | { kind: "mixed"; above: Ballot }>();
    /** Who answered with what, and, once it is known, what they should have. */
    const reports = new Map<string, ReadReport>();
    let current: ReadReport | undefined;
    let reason: unknown;
    let decided = false;
    let catalogMs: number | undefined;
    const fanout = new Fanout(order, sets, (id) => {
      void this.#report(id, name, quorum, trace).then((report) => {
        if (id === ring.self) catalogMs = clock.monotonicMs() - knownAtMs;
        reports.set(id, report);
        if (current) this.#repair(name, id, report, current, quorum);
        return read.reported(id, report);
      }, (error: unknown) => {
        if (!isAtollError(reason, "wrong-layout")) reason = error;
        const step = read.reported(id, undefined);
        if (step.kind === "wait") fanout.failed();
        return step;
      }).then((step) => {
        decided ||= step.kind !== "wait";
        if (!decided) fanout.undecided();
        if (step.kind === "current" || step.kind === "mixed") outcome.resolve(step);
        else if (step.kind === "unreachable") {
          outcome.reject(
            new AtollError(
              "no-quorum",
              `wanted a majority of ${replicas.length} replicas: ${messageOf(reason)}`,
              { cause: reason },
            ),
          );
        } else if (read.mixedSoFar) {
          fanout.next(replicas.length);
          const above = read.mixedSoFar;
          clock.after(MIXED_PATIENCE_MS, () => outcome.resolve({ kind: "mixed", above }));
        }
      });
    });
    fanout.narrowly(aliveCount);
    const farthest = order.slice(0, Math.floor(order.length / 2) + 1).at(-1)!;
    const hedgeMs = Math.max(
      HEDGE_MIN_MS,
      HEDGE_ROUND_TRIPS * (farthest === ring.self ? 0 : membership.rttMs(farthest)),
    );
    const unhedge = clock.after(hedgeMs, () => fanout.next(1));
    try {
      const result = await outcome.promise;
      metrics.counter("atoll_strong_reads_total", "Majority reads by outcome", { outcome: result.kind })
        .add();
      if (result.kind === "current") {
        current = result.report;
        for (const [id, report] of reports) this.#repair(name, id, report, current, quorum);
        return { ballot: result.report.accepted, value: result.report.value, knownAtMs, catalogMs };
      }
      const settled = await registers.settle(name, result.above, trace);
      return { ...settled, knownAtMs, catalogMs };
    } finally {
      unhedge();
    }
  }

  async #report(
    id: string,
    name: Name,
    { number }: Quorum,
    trace: string | undefined,
  ): Promise<ReadReport> {
    const { ring, replica, gate, held, memories } = this.#deps;
    if (id === ring.self) {
      const { accepted, value } = await replica.read(name, number);
      return { accepted, value, testimony: memories.testimony() };
    }
    const mine = held(name);
    const reply = await gate.call(id, { type: "read", name, known: mine?.ballot }, {
      timeoutMs: CALL_TIMEOUT_MS,
      trace,
      layout: number,
    });
    const { accepted, testimony } = reply;
    if (reply.value !== undefined) return { accepted, value: reply.value, testimony };
    if (sameBallot(accepted, NO_BALLOT)) return { accepted, value: null, testimony };
    if (mine && sameBallot(accepted, mine.ballot)) return { accepted, value: mine.value, testimony };
    throw new AtollError("peer-garbage", `node ${id} left out a value that was not known here`);
  }

  /** A replica that answered with less than what is committed is told: the committed accept, delivered once more. */
  #repair(
    name: Name,
    id: string,
    report: ReadReport,
    current: ReadReport,
    { number: layout }: Quorum,
  ): void {
    const { gate, ring, replica, metrics } = this.#deps;
    const { accepted: ballot, value } = current;
    if (value === null || compareBallots(report.accepted, ballot) >= 0 || this.#repairs >= REPAIRS_MAX) {
      return;
    }
    this.#repairs++;
    const request = { type: "accept", name, ballot, value } as const;
    const repaired: Promise<unknown> = id === ring.self
      ? replica.accept(name, ballot, value, layout)
      : gate.call(id, request, { timeoutMs: CALL_TIMEOUT_MS, layout });
    repaired.then(
      () => metrics.counter("atoll_read_repairs_total", "Replicas brought up to date by a read").add(),
      () => {
        // It stays behind until the next read meets it.
      },
    ).finally(() => this.#repairs--);
  }
}

function isOvertaken(error: unknown): boolean {
  return isAtollError(error) && isAtollError(error.cause, "wrong-layout");
}
