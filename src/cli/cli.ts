/** `atoll COMMAND …`: the client side, from the words of a command line to an exit code. */
import { CommanderError } from "commander";
import { createCommands, type GlobalOptions } from "./commands.ts";
import { EXIT, type ExitCode, Failure, usage } from "./failure.ts";
import { NodeClient } from "./node-client.ts";
import { type Io, Terminal } from "./terminal.ts";

const TIMEOUT_SECONDS = 60;
const PORT_DEFAULT = 8080;

/** `words`: without the program's own name. Everything it wrote is out when it returns. */
export async function runCommand(words: readonly string[], io: Io): Promise<ExitCode> {
  // Errors in the words themselves are told in the way the words ask for.
  let terminal = new Terminal(io, { isJson: words.includes("--json"), isQuiet: false });
  let client: NodeClient | undefined;
  let exitCode: ExitCode = EXIT.done;
  let help = "";
  const commands = createCommands({
    session: (options) => {
      const credentials = io.env["ATOLL_KEY"] || undefined;
      client = new NodeClient({ url: urlOf(options, io), timeoutMs: timeoutMs(options), credentials });
      terminal = new Terminal(io, { isJson: options.json === true, isQuiet: options.quiet === true });
      return { client, terminal, credentials };
    },
    writeOut: (text) => (help += text),
    writeError: (text) => (help += text),
    finished: (code) => (exitCode = code),
  });
  try {
    await commands.parseAsync(words, { from: "user" }).catch((error: unknown) => {
      throw error instanceof CommanderError ? parsingFailure(error) : error;
    });
    if (help !== "") await terminal.write(help);
  } catch (error) {
    if (error instanceof Asked) {
      await terminal.write(help);
    } else if (error instanceof Failure) {
      if (error.exitCode !== EXIT.brokenPipe) await terminal.error(error);
      exitCode = error.exitCode;
    } else {
      throw error;
    }
  } finally {
    await client?.close();
  }
  return exitCode;
}

/** `--help` and `--version` end commander's work as errors do. */
class Asked extends Error {}

function parsingFailure(error: CommanderError): Error {
  if (error.exitCode === 0) return new Asked();
  if (error.code === "commander.help") {
    return usage('wanted a command of "atoll ring"; "atoll help ring" lists them');
  }
  // Commander's words begin with "error:", and say after a line break what may have been meant.
  const message = error.message.replace(/^error: /, "").replaceAll("\n", " ").trim();
  return usage(`${message} ("atoll help" says what there is)`);
}

function urlOf({ url }: GlobalOptions, { env }: Io): string {
  return url ?? (env["ATOLL_URL"] || `http://127.0.0.1:${env["PORT"] || PORT_DEFAULT}`);
}

function timeoutMs({ timeout }: GlobalOptions): number {
  if (timeout === undefined) return 1_000 * TIMEOUT_SECONDS;
  const seconds = /^\d{1,6}(\.\d{1,3})?$/.test(timeout) ? Number(timeout) : NaN;
  if (!(seconds > 0)) throw usage(`--timeout: wanted seconds, more than 0, got ${timeout}`);
  return 1_000 * seconds;
}
