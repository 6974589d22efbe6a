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
import { majorityOf } from "../../core/quorum.ts";
import type { AcceptorState } from "../../core/register.ts";
import { isAtollError, messageOf } from "../../errors.ts";
import type { Catalog, Clock, Log, RegisterRow } from "../../ports.ts";
import { Background, forEach } from "../background.ts";
import type { Courtesy } from "../courtesy.ts";
import type { Membership } from "../membership.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Registers } from "../registers.ts";
import type { Replica } from "../replica.ts";
import type { Ring } from "../ring.ts";
import { nextRegisters } from "./register-rows.ts";

const CALL_TIMEOUT_MS = 5_000;
/** Known by name; where more are met, they are looked for once more when these are done. */
const WAITING_MAX = 10_000;
const SCAN = 256;
/** Each waits for far replicas most of the time: with a few at once a ring over a WAN would never catch up with its writers. */
const AT_ONCE = 64;
const RETRY_MS = 60_000;

export interface TombstonesDeps {
  ring: Ring;
  catalog: Catalog;
  replica: Replica;
  registers: Registers;
  gate: PeerGate;
  membership: Membership;
  courtesy: Courtesy;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  onDamaged: (name: Name) => void;
  /** Deletes an object whose time has passed if it still has that version. */
  expire: (name: Name, version: number) => Promise<unknown>;
  /** Age by the home's wall clock from which on a tombstone may go. */
  horizonMs: number;
}

interface Due {
  /** The version whose time has passed; undefined for a tombstone. */
  readonly expired?: number;
}

export class Tombstones {
  readonly #deps: TombstonesDeps;
  readonly #work: Background;
  readonly #waiting = new Map<Name, Due>();
  /** After this name some are due that had no room: they are looked for as soon as there is. */
  #restAfter: Name | undefined;
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

  /** A register as it lies here, whenever all are looked at, in the order of names. Returns at once. */
  consider(row: RegisterRow): void {
    const due = this.#due(row);
    if (!due) return;
    if (this.#waiting.size >= WAITING_MAX) {
      if (this.#restAfter !== undefined) return;
      // This one is taken beyond the limit, so that the rest comes after it.
      this.#restAfter = row.name;
    }
    this.#waiting.set(row.name, due);
    this.#work.wake();
  }

  #due({ name, state: { value } }: RegisterRow): Due | undefined {
    const { ring, clock, horizonMs, membership } = this.#deps;
    const replicas = ring.replicas(name);
    if (!value || replicas[0] !== ring.self) return undefined;
    // Somebody may be taking it over right now: what is collected at one end would arrive at the other.
    if (ring.isMoving(partitionOf(name))) return undefined;
    const now = clock.wallMs();
    // What cannot go while they are away must not take the time and the places of what can.
    const there = replicas.filter((id) => id === ring.self || membership.isAlive(id)).length;
    if (value.content.kind === "tombstone") {
      return there === replicas.length && value.modifiedMs <= now - horizonMs ? {} : undefined;
    }
    if (!isExpired(value.content.manifest, now) || there < majorityOf(replicas.length)) return undefined;
    return { expired: value.version };
  }

  async #run(): Promise<number | undefined> {
    while (!this.#work.stopped) {
      await this.#clear(this.#waiting);
      if (this.#restAfter === undefined) return undefined;
      let after = this.#restAfter;
      // A look at all registers that finds no room meanwhile begins another round, after this one has come to its end.
      this.#restAfter = undefined;
      try {
        for (let ended = false; !ended && !this.#work.stopped;) {
          const rows = await nextRegisters(this.#deps, after, SCAN);
          ended = rows.length === 0;
          after = rows.at(-1)?.name ?? after;
          const page = rows.flatMap((row) => {
            const due = this.#due(row);
            return due ? [[row.name, due] as const] : [];
          });
          // Neither those that are met again and again nor the rest may keep the others waiting.
          await this.#clear([...page, ...[...this.#waiting].slice(0, SCAN)]);
        }
      } catch (error) {
        this.#deps.log.warn("tombstones wait", { reason: messageOf(error) });
        this.#restAfter ??= after;
        return RETRY_MS;
      }
    }
    return undefined;
  }

  async #clear(some: Iterable<readonly [Name, Due]>): Promise<void> {
    const { log, expire, courtesy } = this.#deps;
    // Each once: two at the same one would undo each other.
    await forEach(new Map(some), AT_ONCE, async ([name, { expired }]) => {
      await courtesy.turn();
      this.#waiting.delete(name);
      if (this.#work.stopped) return;
      try {
        if (expired === undefined) await this.#collect(name);
        else await expire(name, expired);
      } catch (error) {
        // A replica that is away, as a rule: the next look at all registers meets it again.
        if (!isAtollError(error, "peer-unreachable", "peer-timeout")) {
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
    // Collected since it was looked at: a round now would leave a promise behind that nobody ever takes away.
    if (own.value === null) return;
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
