/** `atoll COMMAND …` in this process: the same code on streams that remember, so that a terminal can be played, too. */
import { PassThrough } from "node:stream";
import { runCommand } from "../../src/cli/cli.ts";
import { until, within } from "./deadline.ts";

export interface CommandRun {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** Of `--json`: each line of standard output. */
  documents(): Record<string, unknown>[];
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  /**
   * As on a terminal: each answer is typed when its question stands on standard error. An empty list is a terminal at
   * which nobody types.
   */
  readonly terminal?: readonly { readonly question: RegExp; readonly answer: string }[];
  /** Of the terminal, in columns and rows; some are told none and have 0. */
  readonly size?: readonly [columns: number, rows: number];
  readonly deadlineMs?: number;
}

const DEADLINE_MS = 60_000;

export async function command(words: readonly string[], options: CommandOptions = {}): Promise<CommandRun> {
  const { env = {}, input = [], terminal, size: [columns, rows] = [100, 24], deadlineMs = DEADLINE_MS } =
    options;
  const isTTY = terminal !== undefined;
  const stdin = Object.assign(new PassThrough(), { isTTY });
  const stdout = Object.assign(new PassThrough(), { isTTY });
  const stderr = Object.assign(new PassThrough(), { isTTY, columns, rows });
  const written: Buffer[] = [];
  stdout.on("data", (part: Buffer) => written.push(part));
  let complaints = "";
  stderr.setEncoding("utf8").on("data", (text: string) => (complaints += text));
  const label = `atoll ${words.join(" ")} ends`;
  const ended = runCommand(words, { env, stdin, stdout, stderr });
  const fed = isTTY ? type(terminal, stdin, () => complaints) : feed(input, stdin);
  fed.catch(() => undefined); // looked at below, after the command's own end
  const code = await within(ended, deadlineMs, label, [complaints]);
  if (isTTY) await fed;
  return {
    code,
    stdout: Buffer.concat(written),
    stderr: complaints,
    documents: () =>
      Buffer.concat(written).toString("utf8").split("\n").filter((line) => line !== "").map((line) =>
        JSON.parse(line) as Record<string, unknown>
      ),
  };
}

async function feed(
  input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  stdin: PassThrough,
): Promise<void> {
  for await (const part of input) {
    if (!stdin.write(part)) await new Promise((resolve) => stdin.once("drain", resolve));
  }
  stdin.end();
}

async function type(
  answers: NonNullable<CommandOptions["terminal"]>,
  stdin: PassThrough,
  complaints: () => string,
): Promise<void> {
  let from = 0;
  for (const { question, answer } of answers) {
    await until(`${question} is asked`, DEADLINE_MS, () => question.test(complaints().slice(from)));
    from = complaints().length;
    stdin.write(`${answer}\n`);
  }
}
