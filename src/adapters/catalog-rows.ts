/** Register rows to cells and back; see catalog-cells.ts. */
import * as z from "zod";
import type { Ballot } from "../core/ballot.ts";
import type { RegisterValue } from "../core/register.ts";
import { AtollError, messageOf } from "../errors.ts";
import { registerValueSchema } from "../http/peer-schemas.ts";
import type { RegisterRow } from "../ports.ts";
import { damagedRow, quoteName, type RegisterCells } from "./catalog-cells.ts";

export function toCells({ name, state }: RegisterRow): RegisterCells {
  // A lone surrogate has no UTF-8: two such names would share one row.
  if (!name.isWellFormed()) {
    throw new AtollError("internal", `wanted a name of well-formed text, got ${quoteName(name)}`);
  }
  return [
    name,
    state.promised.counter,
    state.promised.node,
    state.accepted.counter,
    state.accepted.node,
    state.value === null ? null : JSON.stringify(state.value),
  ];
}

/** Throws `internal` for cells that no `toCells` made. */
export function fromCells(cells: RegisterCells): RegisterRow {
  const [name, promisedCounter, promisedNode, acceptedCounter, acceptedNode, value] = cells;
  const promised: Ballot = { counter: promisedCounter, node: promisedNode };
  const accepted: Ballot = { counter: acceptedCounter, node: acceptedNode };
  return { name, state: { promised, accepted, value: value === null ? null : parseValue(name, value) } };
}

function parseValue(name: string, text: string): RegisterValue {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw damagedRow(name, messageOf(error));
  }
  const parsed = registerValueSchema.safeParse(json);
  if (!parsed.success) throw damagedRow(name, z.prettifyError(parsed.error).replaceAll("\n", " "));
  return parsed.data;
}
