/**
 * What the other replicas know of registers that this one has forgotten: of each the greatest that any of them has promised
 * and accepted.
 *
 * What was accepted in a ballot below the greatest promise is hearsay: the lost memory may have given that promise, and
 * whoever holds it may yet commit something else, past the ballot that this node would vouch for. So a round of its own,
 * among the others, has such a register accepted anew first; after it nothing below can be committed any more.
 */
import { compareBallots, sameBallot } from "../../core/ballot.ts";
import type { Name } from "../../core/names.ts";
import { slotOf, SLOTS_PER_PARTITION } from "../../core/partitions.ts";
import { type AcceptorState, type Floor, higherFloor, NO_FLOOR } from "../../core/register.ts";
import { AtollError } from "../../errors.ts";
import type { PeerRequest, ReplyTo } from "../../ports.ts";
import { forEach } from "../background.ts";
import type { PeerGate } from "../peer-gate.ts";
import type { Registers } from "../registers.ts";
import { statesPages } from "./slot-rows.ts";

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

  /** All in these partitions, or only the one register and the floor of its slot. Fails where one source does. */
  async statesOf(
    sources: readonly string[],
    partitions: readonly number[],
    only?: { readonly slot: number; readonly name: Name },
  ): Promise<{ states: Map<Name, AcceptorState>; floors: Map<number, Floor> }> {
    const states = new Map<Name, AcceptorState>();
    const floors = new Map<number, Floor>();
    const isAsked = (other: number): boolean =>
      only ? other === only.slot : partitions.includes(Math.floor(other / SLOTS_PER_PARTITION));
    await Promise.all(sources.map(async (source) => {
      const ask = (request: SlotStates): Promise<ReplyTo<SlotStates>> =>
        this.#gate.call(source, request, { timeoutMs: CALL_TIMEOUT_MS });
      for await (const page of statesPages(ask, partitions, only && { slot: only.slot, after: "" })) {
        for (const { name, state } of page.rows) {
          if (isAsked(slotOf(name)) && (!only || name === only.name)) {
            states.set(name, higherState(states.get(name), state));
          }
        }
        for (const { slot, floor } of page.floors) {
          if (isAsked(slot)) floors.set(slot, higherFloor(floors.get(slot) ?? NO_FLOOR, floor));
        }
        if (only && page.next && page.next.slot > only.slot) return;
      }
    }));
    await forEach([...states], REWRITES_AT_ONCE, async ([name, state]) => {
      if (isHearsay(state)) states.set(name, await this.#vouchedFor(name, state, sources));
    });
    return { states, floors };
  }

  /** The state after a round among the others, with nothing promised beyond what was accepted. */
  async #vouchedFor(name: Name, state: AcceptorState, sources: readonly string[]): Promise<AcceptorState> {
    let known = state;
    for (let rounds = 0; rounds < REWRITES_MAX && isHearsay(known); rounds++) {
      await this.#registers().rewrite(name, known.promised);
      const states = await Promise.all(sources.map(async (source) => {
        const request = { type: "state", name } as const;
        return (await this.#gate.call(source, request, { timeoutMs: CALL_TIMEOUT_MS })).state;
      }));
      known = states.reduce(higherState);
    }
    if (!isHearsay(known)) return known;
    const written = name.replace("\0", "/");
    throw new AtollError("overloaded", `wanted ${written} to rest for a moment, others keep writing it`);
  }
}

function isHearsay({ promised, accepted, value }: AcceptorState): boolean {
  return value !== null && !sameBallot(promised, accepted);
}

function higherState(a: AcceptorState | undefined, b: AcceptorState): AcceptorState {
  if (!a) return b;
  const promised = compareBallots(a.promised, b.promised) < 0 ? b.promised : a.promised;
  return { ...(compareBallots(a.accepted, b.accepted) < 0 ? b : a), promised };
}
