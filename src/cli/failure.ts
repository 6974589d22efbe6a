/** What a command ends with when it could not do what was asked, and the exit codes that scripts match on. */

export const EXIT = {
  done: 0,
  error: 1,
  usage: 2,
  notFound: 3,
  precondition: 4,
  unavailable: 5,
  unknown: 6,
  /** 128 + SIGPIPE, as a shell shows it: whoever read the output went away. */
  brokenPipe: 141,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES_HELP = `
Exit codes:
  0  done
  1  error: what was asked could not be done; the line on standard error says why
  2  usage: the command line makes no sense
  3  there is no such object
  4  a precondition failed (412), or the layout changed since the plan was made (409)
  5  no node answers there, or not now (429, 503): nothing was changed, trying again makes sense
  6  outcome unknown (504, or a connection cut while the answer was awaited): look before trying again`;

export interface FailureDetails {
  /** The node's, else one of `usage`, `local`, `unreachable`, `stalled`, `cut`, `digest-mismatch`, `not-atoll`. */
  readonly code: string;
  /** Of the answer, if there was one. */
  readonly status?: number;
  /** Further members of a problem document. */
  readonly members?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

export class Failure extends Error {
  override readonly name = "Failure";
  readonly exitCode: ExitCode;
  readonly code: string;
  readonly status: number | undefined;
  readonly members: Readonly<Record<string, unknown>>;

  /** `message`: what was wanted and what came; one sentence, no period. */
  constructor(exitCode: ExitCode, message: string, details: FailureDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.exitCode = exitCode;
    this.code = details.code;
    this.status = details.status;
    this.members = details.members ?? {};
  }
}

export function usage(message: string): Failure {
  return new Failure(EXIT.usage, message, { code: "usage" });
}

/** Of an answer that is an error. */
export function exitCodeOf(status: number, code: string): ExitCode {
  if (status === 404) return EXIT.notFound;
  if (status === 412 || (status === 409 && code === "layout-changed")) return EXIT.precondition;
  if (status === 429 || status === 503) return EXIT.unavailable;
  if (status === 504 && code !== "not-cached") return EXIT.unknown;
  return EXIT.error;
}

/** Of this machine's own files; says what could not be done to which. */
export function localFailure(doing: string, path: string, error: unknown): Failure {
  return new Failure(EXIT.error, `cannot ${doing} ${path}: ${reasonOf(error)}`, {
    code: "local",
    cause: error,
  });
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or directory",
  EISDIR: "it is a directory",
  ENOTDIR: "a part of the path is no directory",
  EACCES: "permission denied",
  EPERM: "not permitted",
  ENOSPC: "the disk is full",
  EDQUOT: "the quota is used up",
  EROFS: "the file system is read-only",
  ENAMETOOLONG: "the name is too long",
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "the name is not known",
  EAI_AGAIN: "the name cannot be looked up now",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the network cannot be reached",
  ECONNRESET: "the connection was reset",
  EPIPE: "the connection was closed",
  UND_ERR_CONNECT_TIMEOUT: "connecting took too long",
  UND_ERR_SOCKET: "the connection was closed",
};

/** In words, as far as the code is a known one. */
export function reasonOf(error: unknown): string {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return (code === undefined ? undefined : REASONS[code]) ??
    (message === "" ? code ?? "no reason given" : message);
}

export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // Several addresses of one name fail together.
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === "string" ? code : undefined;
}
