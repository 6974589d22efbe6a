/**
 * What a command says, and to whom. Standard output carries results: lines, or with `--json` one document a line.
 * Standard error carries everything about getting there: progress, warnings, questions, errors.
 */
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { codeOf, EXIT, Failure } from "./failure.ts";
import { Progress } from "./progress.ts";

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
}

export class Terminal {
  readonly progress: Progress;
  readonly #io: Io;
  readonly #isJson: boolean;

  constructor(io: Io, options: { readonly isJson: boolean; readonly isQuiet: boolean }) {
    this.#io = io;
    this.#isJson = options.isJson;
    this.progress = new Progress(io.stderr, {
      style: options.isQuiet || options.isJson ? "none" : io.stderr.isTTY ? "bar" : "lines",
    });
    // Without a listener it would end the process; whoever writes next is told.
    io.stdout.on("error", () => undefined);
    io.stderr.on("error", () => undefined);
  }

  get isJson(): boolean {
    return this.#isJson;
  }

  /** Whether somebody is there to answer. */
  get isInteractive(): boolean {
    return this.#io.stdin.isTTY === true && this.#io.stderr.isTTY === true;
  }

  get input(): AsyncIterable<Uint8Array> {
    return this.#io.stdin;
  }

  /** One result: lines for people, or the document. */
  async result(lines: string | readonly string[], document: unknown): Promise<void> {
    const text = this.#isJson
      ? JSON.stringify(document)
      : typeof lines === "string"
      ? lines
      : lines.join("\n");
    this.progress.clear();
    await this.write(`${text}\n`);
  }

  /** Returns when the stream has taken it, so that what is written is never collected in memory. */
  write(bytes: Uint8Array | string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#io.stdout.write(bytes, (error) => error ? reject(writeFailure(error)) : resolve());
    });
  }

  /** For people: not a part of the result. */
  async note(line: string | readonly string[]): Promise<void> {
    if (this.#isJson) return;
    await this.#say(`${typeof line === "string" ? line : line.join("\n")}\n`);
  }

  async error(failure: Failure): Promise<void> {
    const { message, code, status, exitCode, members } = failure;
    if (!this.#isJson) {
      return await this.#say(
        `atoll: ${message}${code === "usage" || code === "local" ? "" : ` (${code})`}\n`,
      );
    }
    const { title: _title, type: _type, ...rest } = members;
    await this.#say(`${JSON.stringify({ error: { ...rest, code, status, detail: message, exitCode } })}\n`);
  }

  /** The line that is typed in answer; undefined when nobody is there or the input ends. */
  async ask(question: string): Promise<string | undefined> {
    if (!this.isInteractive) return undefined;
    await this.#say(`${question} `);
    // Not a terminal to readline: the real one edits lines by itself, and raw mode would outlive an interruption.
    const lines = createInterface({ input: this.#io.stdin, terminal: false });
    try {
      return await new Promise((resolve) => {
        lines.once("line", (line) => resolve(line.trim()));
        lines.once("close", () => resolve(undefined));
      });
    } finally {
      lines.close();
    }
  }

  #say(text: string): Promise<void> {
    this.progress.clear();
    // If nobody reads complaints there is nobody to complain to.
    return new Promise((resolve) => this.#io.stderr.write(text, () => resolve()));
  }
}

function writeFailure(error: Error): Failure {
  return codeOf(error) === "EPIPE"
    ? new Failure(EXIT.brokenPipe, "whoever read the output went away", { code: "local", cause: error })
    : new Failure(EXIT.error, `cannot write the output: ${error.message}`, { code: "local", cause: error });
}
