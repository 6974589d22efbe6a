/** Faults. What is expected to happen (an absent object, a failed precondition) is a value, not an error. */

/** Stable: clients and dashboards match on them. The public ones are those of the interface's error table. */
export type ErrorCode =
  | "invalid-key"
  | "invalid-bucket"
  | "invalid-argument"
  | "invalid-digest"
  | "digest-mismatch"
  | "incomplete-body"
  | "partial-put"
  | "unauthorized"
  | "forbidden"
  | "not-found"
  | "method-not-allowed"
  | "precondition-failed"
  | "too-large"
  | "range-not-satisfiable"
  | "too-many-requests"
  | "headers-too-large"
  | "internal"
  | "no-quorum"
  | "overloaded"
  | "draining"
  | "outcome-unknown"
  | "not-cached"
  | "storage-full"
  | "layout-changed"
  | "refused"
  // Of a bucket's origin:
  | "origin-failed"
  | "origin-timeout"
  | "origin-forbidden"
  | "origin-loop"
  // Between nodes:
  | "peer-unreachable"
  | "peer-timeout"
  | "peer-garbage"
  | "peer-refused"
  | "wrong-ring"
  | "wrong-node"
  /** Another node lives under the ID. */
  | "id-taken"
  | "wrong-protocol"
  /** The other end goes by a newer layout. */
  | "wrong-layout"
  // Of this node's own disk:
  | "damaged"
  // At start:
  | "config"
  | "data-dir";

export class AtollError extends Error {
  override readonly name = "AtollError";
  readonly code: ErrorCode;

  /** `message`: what was wanted and what came; one sentence, no period. */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export function isAtollError(error: unknown, ...codes: ErrorCode[]): error is AtollError {
  return error instanceof AtollError && (codes.length === 0 || codes.includes(error.code));
}

/** For a log line or a detail: what can be said of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A broken invariant of our own: a defect, never bad input. */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${invariant}`);
}

/** A register's row on this node's disk cannot be believed: it must be fetched anew before the register is used here. */
export class DamagedRegister extends AtollError {
  readonly register: string;

  constructor(register: string, message: string) {
    super("damaged", message);
    this.register = register;
  }
}
