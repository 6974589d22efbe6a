/**
 * What one object is to its clients, as a state machine that knows nothing of replicas: the checker's model.
 *
 * Where there is no object its tombstone may be collected, after which nobody remembers its version; whatever comes next
 * has a higher one. So a state knows its version exactly, or at least how high it is.
 */
import type { Model } from "../helpers/linearizability.ts";

export type Input =
  | { readonly kind: "read" }
  | { readonly kind: "delete" }
  | { readonly kind: "put" | "create"; readonly sha256: string }
  | { readonly kind: "cas"; readonly sha256: string; readonly ifVersion: number };

export type Output =
  | { readonly kind: "found"; readonly version: number; readonly sha256: string }
  | { readonly kind: "absent" | "deleted" | "conflict"; readonly version: number }
  | { readonly kind: "stored"; readonly version: number; readonly created: boolean };

export interface State {
  readonly version: number;
  /** Whether the version is that one, or at least that one. */
  readonly exact: boolean;
  /** Null where there is no object. */
  readonly sha256: string | null;
}

export const OBJECT_MODEL: Model<State, Input, Output> = {
  initial: { version: 0, exact: true, sha256: null },
  key: ({ version, exact, sha256 }) => `${version} ${exact} ${sha256}`,
  apply: (state, input, output) => output ? answered(state, input, output) : unanswered(state, input),
};

/** Had it taken effect: the search tries without it, too. */
function unanswered(state: State, input: Input): State {
  switch (input.kind) {
    case "read":
      return state;
    case "delete":
      return state.sha256 === null ? state : changed(state, null);
    case "create":
      return state.sha256 === null ? changed(state, input.sha256) : state;
    case "put":
      return changed(state, input.sha256);
    case "cas":
      if (state.sha256 === null) return input.ifVersion === 0 ? changed(state, input.sha256) : state;
      return mayBe(state, input.ifVersion)
        ? { version: input.ifVersion + 1, exact: true, sha256: input.sha256 }
        : state;
  }
}

function answered(state: State, input: Input, output: Output): State | undefined {
  const { sha256 } = state;
  const { version } = output;
  switch (output.kind) {
    case "found":
      return input.kind === "read" && sha256 === output.sha256 && mayBe(state, version)
        ? { version, exact: true, sha256 }
        : undefined;
    case "absent":
      return input.kind === "read" && sha256 === null ? state : undefined;
    case "deleted":
      if (input.kind !== "delete") return undefined;
      if (sha256 === null) return state;
      return mayFollow(state, version) ? { version, exact: true, sha256: null } : undefined;
    case "conflict":
      if (input.kind === "create") {
        return sha256 === null || !mayBe(state, version) ? undefined : { ...state, version, exact: true };
      }
      if (input.kind !== "cas" || version === input.ifVersion) return undefined;
      if (sha256 === null) return version === 0 ? state : undefined;
      return mayBe(state, version) ? { ...state, version, exact: true } : undefined;
    case "stored": {
      if (input.kind === "read" || input.kind === "delete") return undefined;
      if (output.created !== (sha256 === null) || !mayFollow(state, version)) return undefined;
      if (input.kind === "create" && sha256 !== null) return undefined;
      if (
        input.kind === "cas" && (sha256 === null ? input.ifVersion !== 0 : version !== input.ifVersion + 1)
      ) {
        return undefined;
      }
      return { version, exact: true, sha256: input.sha256 };
    }
  }
}

function changed(state: State, sha256: string | null): State {
  return { version: state.version + 1, exact: state.exact && state.sha256 !== null, sha256 };
}

function mayBe({ version, exact }: State, actual: number): boolean {
  return exact ? actual === version : actual >= version;
}

/** After a change; where there was no object, its tombstone may be collected. */
function mayFollow({ version, exact, sha256 }: State, next: number): boolean {
  return exact && sha256 !== null ? next === version + 1 : next > version;
}
