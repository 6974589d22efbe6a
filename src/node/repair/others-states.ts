/**
 * What the other replicas know of registers that this one has forgotten: of each the greatest that any of them has promised
 * and accepted.
 *
 * What was accepted in a ballot below the greatest promise is hearsay: the lost memory may have given that promise, and
 * whoever holds it may yet commit something else, past the ballot that this node would vouch for. So a round of its own,
 * among the others, has such a register accepted anew first; after it nothing below can be committed any more.
 *
 * Not every source must answer. Each noted this node's new memory, durably, before it was asked, and those that answered to
 * the end, for that register, include a majority of every set; this node is not among them. Take any majority that the lost
 * memory voted in: it shares a member with them. Either that member voted before it told, and so told of a ballot at least
 * as high; or it voted after it had noted the new memory, and says so with its vote, which voids the old one. Who failed,
 * or cannot tell of that register as it lost it itself, is not needed for that, and what it told until then does no harm:
 * an acceptance is one, however it is learned of, and a promise or a floor only keeps out more. Who forgot and was told
 * anew counts like any other: it knows what its own lost memory's majorities knew, by the same argument, and tells
 * nothing of what it lost until it does. After a round the argument is made anew, by those who tell then.
 */
import { compareBallots, sameBallot } from "../../core/ballot.ts";
import type { Name } from "../../core/names.ts";
import { slotOf, SLOTS_PER_PARTITION } from "../../core/partitions.ts";
import { majorityOf } from "../../core/quorum.ts";
import { type AcceptorState, type Floor, higherFloor, NO_FLOOR } from "../../core/register.ts";
import { AtollError, isAtollError, messageOf } from "../../errors.ts";
import type { PeerRequest, ReplyTo } from "../../ports.ts";
import { forEach } from "../background.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Registers } from "../registers.ts";
import { closeBefore, comparePlaces, statesPages } from "./slot-rows.ts";

const CALL_TIMEOUT_MS = 5_000;
/** Rounds after which a register that others keep writing is left for the next try. */
const REWRITES_MAX = 4;
const REWRITES_AT_ONCE = 8;

type SlotStates = Extract<PeerRequest, { type: "slot-states" }>;

export class OthersStates {
  readonly #gate: PeerGate;
  readonly #registers: () => Pick<Registers, "rewrite">;

  constructor(deps: { gate: PeerGate; registers: () => Pick<Registers, "rewrite"> }) {
    this.#gate = deps.gate;
    this.#registers = deps.registers;
  }

  /**
   * All in these partitions, or only the one register and the floor of its slot. Fails as `toldByEnough` does: a source
   * that cannot tell of all of it has told nothing.
   */
  async statesOf(
    sources: Sources,
    partitions: readonly number[],
    only?: Name,
  ): Promise<{ states: Map<Name, AcceptorState>; floors: Map<number, Floor> }> {
    const states = new Map<Name, AcceptorState>();
    const floors = new Map<number, Floor>();
    const end = only === undefined ? undefined : { slot: slotOf(only), after: only };
    const isAsked = (slot: number): boolean =>
      end ? slot === end.slot : partitions.includes(Math.floor(slot / SLOTS_PER_PARTITION));
    await toldByEnough(sources, async (source) => {
      const ask = (request: SlotStates): Promise<ReplyTo<SlotStates>> =>
        this.#gate.call(source, request, { timeoutMs: CALL_TIMEOUT_MS });
      const from = end && { ...end, after: closeBefore(end.after) };
      for await (const page of statesPages(ask, partitions, from)) {
        for (const { name, state } of page.rows) {
          if (isAsked(slotOf(name)) && (only === undefined || name === only)) {
            states.set(name, higherState(states.get(name), state));
          }
        }
        for (const { slot, floor } of page.floors) {
          if (isAsked(slot)) floors.set(slot, higherFloor(floors.get(slot) ?? NO_FLOOR, floor));
        }
        if (end && page.next && comparePlaces(page.next, end) >= 0) return;
      }
    });
    await forEach([...states], REWRITES_AT_ONCE, async ([name, state]) => {
      if (isHearsay(state)) states.set(name, await this.#vouchedFor(name, state, sources));
    });
    return { states, floors };
  }

  /** The state after a round among the others, with nothing promised beyond what was accepted. */
  async #vouchedFor(name: Name, state: AcceptorState, sources: Sources): Promise<AcceptorState> {
    let known = state;
    for (let rounds = 0; rounds < REWRITES_MAX && isHearsay(known); rounds++) {
      await this.#registers().rewrite(name, known.promised);
      const states = await toldByEnough(sources, async (source) => {
        const request = { type: "state", name } as const;
        return (await this.#gate.call(source, request, { timeoutMs: CALL_TIMEOUT_MS })).state;
      });
      known = states.reduce(higherState);
    }
    if (!isHearsay(known)) return known;
    const written = name.replace("\0", "/");
    throw new AtollError("overloaded", `wanted ${written} to rest for a moment, others keep writing it`);
  }
}

/** Nodes that noted a new memory of this one, and the sets it is in: a majority of each must tell, itself not among them. */
export interface Sources {
  readonly ids: readonly string[];
  readonly sets: readonly (readonly string[])[];
}

/**
 * What those say who say anything, when all have answered or failed. Fails with `no-quorum` where they are too few, with
 * a refusal as the cause if there was one.
 */
export async function toldByEnough<T>(
  { ids, sets }: Sources,
  ask: (source: string) => Promise<T>,
): Promise<T[]> {
  const told = new Map<string, T>();
  const faults: unknown[] = [];
  await Promise.all(ids.map(async (id) => {
    try {
      told.set(id, await ask(id));
    } catch (error) {
      faults.push(error);
    }
  }));
  for (const set of sets) {
    const [wanted, got] = [majorityOf(set.length), set.filter((id) => told.has(id)).length];
    if (got >= wanted) continue;
    const cause = faults.find(isRefusal) ?? faults[0];
    const reason = cause === undefined ? "" : `: ${messageOf(cause)}`;
    const message = `wanted ${wanted} others of ${set.length} to resync from, got ${got}${reason}`;
    throw new AtollError("no-quorum", message, { cause });
  }
  return [...told.values()];
}

/** Whether a peer answered that it cannot tell: of less than it was asked for it may. */
export function isRefusal(error: unknown): boolean {
  return isAtollError(error, "peer-refused", "damaged");
}

function isHearsay({ promised, accepted, value }: AcceptorState): boolean {
  return value !== null && !sameBallot(promised, accepted);
}

function higherState(a: AcceptorState | undefined, b: AcceptorState): AcceptorState {
  if (!a) return b;
  const promised = compareBallots(a.promised, b.promised) < 0 ? b.promised : a.promised;
  return { ...(compareBallots(a.accepted, b.accepted) < 0 ? b : a), promised };
}
