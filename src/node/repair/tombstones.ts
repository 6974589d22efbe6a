/**
 * Tombstones that every replica has are collected once they are old enough, by the object's home; objects past their time
 * to live become tombstones. When a tombstone may go, and why nothing comes back, stands at `Replica.forget`. Since every
 * replica must have it first, one that is away for however long only makes it stay: a node that comes back can bring
 * nothing that the others have forgotten to have been deleted.
 */
import { type Ballot, compareBallots, NO_BALLOT, sameBallot } from "../../core/ballot.ts";
import { isExpired } from "../../core/manifest.ts";
import type { Name } from "../../core/names.ts";
import { partitionOf } from "../../core/partitions.ts";
import type { AcceptorState } from "../../core/register.ts";
import { isAtollError, messageOf } from "../../errors.ts";
import type { Clock, Log, RegisterRow } from "../../ports.ts";
import { Background, forEach } from "../background.ts";
import type { Membership } from "../membership.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Registers } from "../registers.ts";
import type { Replica } from "../replica.ts";
import type { Ring } from "../ring.ts";

const CALL_TIMEOUT_MS = 5_000;
/** Met in one look at all registers; more wait for the next. */
const WAITING_MAX = 10_000;
const AT_ONCE = 8;

export interface TombstonesDeps {
  ring: Ring;
  replica: Replica;
  registers: Registers;
  gate: PeerGate;
  membership: Membership;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Deletes an object whose time has passed if it still has that version. */
  expire: (name: Name, version: number) => Promise<unknown>;
  /** Age by the home's wall clock from which on a tombstone may go. */
  horizonMs: number;
}

export class Tombstones {
  readonly #deps: TombstonesDeps;
  readonly #work: Background;
  readonly #waiting = new Map<Name, { readonly expired?: number }>();
  readonly #collected: Counter;

  constructor(deps: TombstonesDeps) {
    this.#deps = deps;
    this.#work = new Background(deps.clock, () => this.#run());
    this.#collected = deps.metrics.counter(
      "atoll_tombstones_collected_total",
      "Registers of deleted objects taken away for good",
    );
  }

  stop(): void {
    this.#work.stop();
  }

  /** A register as it lies here. */
  consider({ name, state: { value } }: RegisterRow): void {
    const { ring, clock, horizonMs, membership } = this.#deps;
    const replicas = ring.replicas(name);
    if (!value || replicas[0] !== ring.self || this.#waiting.size >= WAITING_MAX) return;
    // Somebody may be taking it over right now: what is collected at one end would arrive at the other.
    if (ring.isMoving(partitionOf(name))) return;
    const now = clock.wallMs();
    if (value.content.kind === "tombstone") {
      // While one is away none of theirs can go, and they must not take the places of those that can.
      const areThere = replicas.every((id) => id === ring.self || membership.isAlive(id));
      if (areThere && value.modifiedMs <= now - horizonMs) this.#waiting.set(name, {});
    } else if (isExpired(value.content.manifest, now)) this.#waiting.set(name, { expired: value.version });
    if (this.#waiting.size > 0) this.#work.wake();
  }

  async #run(): Promise<undefined> {
    const { log, expire } = this.#deps;
    await forEach([...this.#waiting], AT_ONCE, async ([name, { expired }]) => {
      this.#waiting.delete(name);
      if (this.#work.stopped) return;
      try {
        if (expired === undefined) await this.#collect(name);
        else await expire(name, expired);
      } catch (error) {
        // A replica that is away, as a rule: the next look at all registers meets it again.
        if (!isAtollError(error, "peer-unreachable") && !isAtollError(error, "peer-timeout")) {
          log.warn("a tombstone stays", { name: name.replace("\0", "/"), reason: messageOf(error) });
        }
      }
    });
  }

  async #collect(name: Name): Promise<void> {
    const { ring, replica, registers } = this.#deps;
    const layout = ring.number;
    const others = ring.replicas(name).filter((id) => id !== ring.self);
    const own = await replica.state(name);
    const states = [own, ...await Promise.all(others.map((id) => this.#stateAt(id, name)))];
    if (states.some(({ value }) => value !== null && value.content.kind !== "tombstone")) return;
    const ballot = own.accepted;
    if (!states.every((state) => isAtRest(state, ballot))) {
      // Half of it was forgotten already, or somebody promised and went away: a round makes them all alike again.
      const above = states.reduce((top, { promised }) => higher(top, promised), NO_BALLOT);
      await registers.rewrite(name, above);
      return;
    }
    for (const id of others) {
      const { forgotten } = await this.#deps.gate.call(id, { type: "forget", name, ballot }, {
        timeoutMs: CALL_TIMEOUT_MS,
        layout,
      });
      if (!forgotten) return;
    }
    if (await replica.forget(name, ballot, layout)) this.#collected.add();
  }

  async #stateAt(id: string, name: Name): Promise<AcceptorState> {
    const options = { timeoutMs: CALL_TIMEOUT_MS, layout: this.#deps.ring.number };
    return (await this.#deps.gate.call(id, { type: "state", name }, options)).state;
  }
}

function isAtRest({ promised, accepted, value }: AcceptorState, ballot: Ballot): boolean {
  return value !== null && sameBallot(accepted, ballot) && sameBallot(promised, ballot);
}

function higher(a: Ballot, b: Ballot): Ballot {
  return compareBallots(a, b) < 0 ? b : a;
}
