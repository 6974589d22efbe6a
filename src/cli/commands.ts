/** The commands and their options, as commander knows them. */
import { Command } from "commander";
import { EXIT, type ExitCode, usage } from "./failure.ts";
import { get, type GetOptions } from "./get.ts";
import { HELP, PROGRAM_HELP } from "./help-texts.ts";
import { ls, type LsOptions } from "./ls.ts";
import type { NodeClient } from "./node-client.ts";
import { presign, type PresignOptions } from "./presign.ts";
import { prewarm, type PrewarmOptions } from "./prewarm.ts";
import { put, type PutOptions } from "./put.ts";
import { rm, type RmOptions } from "./rm.ts";
import {
  applyChange,
  type ApplyOptions,
  forceRecover,
  type RecoverOptions,
  showPlan,
  showRing,
  type WatchOptions,
} from "./ring.ts";
import type { ChangeOptions } from "./ring-change.ts";
import { status } from "./status.ts";
import type { Terminal } from "./terminal.ts";
import { VERSION } from "./version.ts";

export interface GlobalOptions {
  readonly url?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly timeout?: string;
}

export interface Session {
  readonly client: NodeClient;
  readonly terminal: Terminal;
  /** `ID.SECRET`, as ATOLL_KEY has it. */
  readonly credentials: string | undefined;
}

export interface CommandsDeps {
  /** What a command needs, made from the options that stand with every command. */
  readonly session: (options: GlobalOptions) => Session;
  readonly writeOut: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** Of the command that ran. */
  readonly finished: (code: ExitCode) => void;
}

export function createCommands(deps: CommandsDeps): Command {
  const program = new Command("atoll");
  program
    .description("A small storage node for the edge, and its command line")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand(false)
    .option("--url <URL>", "the node to ask (ATOLL_URL; else http://127.0.0.1:PORT, or 8080)")
    .option("--json", "results as JSON, one document a line; errors too, on standard error")
    .option("-q, --quiet", "no progress")
    .option("--timeout <SECONDS>", "give up when the node moves no byte for so long (60)")
    .configureHelp({ showGlobalOptions: true, helpWidth: 110 })
    .configureOutput({ writeOut: deps.writeOut, writeErr: deps.writeError, outputError: () => undefined })
    .exitOverride()
    .addHelpText("after", PROGRAM_HELP);

  const runs: Runs = (run) => async (...given) => {
    const command = given.at(-1) as Command;
    const options = command.optsWithGlobals<GlobalOptions>();
    const code = await run(deps.session(options), command.args, options as never);
    deps.finished(code ?? EXIT.done);
  };

  add(program, "serve", "run a node (what happens without a command, too)")
    .action(() => {
      throw usage("serve is the first word or none at all: its settings are environment variables");
    });
  add(program, "status", "whether the node is alive and ready, and its ring")
    .action(runs(({ client, terminal }) => status(client, terminal)));
  addObjectCommands(program, runs);
  addRingCommands(program, runs);
  add(program, "help [command...]", "print help on a command")
    .action((names: string[], _options: unknown, command: Command) => {
      const about = find(program, names);
      if (command.optsWithGlobals<GlobalOptions>().json === true) {
        deps.writeOut(`${JSON.stringify(described(about))}\n`);
      } else about.outputHelp();
      deps.finished(EXIT.done);
    });
  return program;
}

/** Commander does not know the types of options: each command says what it declared. */
type Runs = (
  run: (session: Session, args: string[], options: never) => Promise<ExitCode | void>,
) => (...given: unknown[]) => Promise<void>;

function addObjectCommands(program: Command, runs: Runs): void {
  add(program, "put <file|-...>", "store files, or standard input", "FILE… BUCKET/KEY | FILE… BUCKET/PREFIX/")
    .option("--if-none-match", "only if there is no such object yet (exit code 4 if there is)")
    .option("--if-match <ETAG>", "only over this content")
    .option("--if-version <N>", "only over this version; 0: must not exist")
    .option("--content-type <TYPE>", "else by the key's ending")
    .option("--cache-control <VALUE>", "for how long readers may use it without asking; else never")
    .option("--ttl <SECONDS>", "it expires after so long")
    .option("--meta <NAME=VALUE>", "kept as Atoll-Meta-NAME; may be given several times", collected)
    .option("--digest-first", "read the file twice, so that its digest goes ahead of it whatever its size")
    .action(runs(({ client, terminal }, args, options: PutOptions) => put(client, terminal, args, options)));
  add(program, "get <object> [file]", "fetch an object into a file", "BUCKET/KEY [FILE|-]")
    .option("-c, --continue", "go on with a download that was cut")
    .option("--fresh", "the newest version, although its Cache-Control may allow an older one")
    .action(runs(({ client, terminal }, [object, file, ...more], options: GetOptions) => {
      if (more.length > 0) throw usage(`wanted BUCKET/KEY [FILE|-], got ${more.length} words more`);
      return get(client, terminal, object!, file, options);
    }));
  add(program, "ls [place]", "list buckets, or what is in one", "[BUCKET[/PREFIX]]")
    .option("-r, --recursive", "all keys, not only up to the next slash")
    .option("-H, --human", "sizes as 1.5 MiB")
    .action(
      runs(({ client, terminal }, [place], options: LsOptions) => ls(client, terminal, place, options)),
    );
  add(
    program,
    "prewarm <object...>",
    "load objects into a region's caches",
    "BUCKET/KEY… | --recursive BUCKET[/PREFIX]…",
  )
    .option("-r, --recursive", "everything under these prefixes")
    .option("--region <NAME>", "which one (that of the node that is asked)")
    .action(
      runs(({ client, terminal }, args, options: PrewarmOptions) => prewarm(client, terminal, args, options)),
    );
  add(program, "rm <object...>", "delete objects", "BUCKET/KEY… | --recursive BUCKET[/PREFIX]…")
    .option("-r, --recursive", "everything under these prefixes")
    .option("-y, --yes", "do not ask")
    .option("-f, --force", "an object that is not there is no failure")
    .option("--if-match <ETAG>", "only this content")
    .option("--if-version <N>", "only this version")
    .action(runs(({ client, terminal }, args, options: RmOptions) => rm(client, terminal, args, options)));
  add(program, "presign <object>", "make a URL that lets whoever has it do one thing", "BUCKET/KEY")
    .option("--method <METHOD>", "GET, PUT or DELETE (GET)")
    .option("--expires <TIME>", "until when: 10m, 12h, at most 7d from now (1h)")
    .option("--max-bytes <N>", "of a PUT: no more than that")
    .option("--content-type <TYPE>", "of a PUT: this one and no other")
    .action(
      runs(({ client: { url }, terminal, credentials }, [object], options: PresignOptions) =>
        presign({ terminal, url, credentials }, object!, options)
      ),
    );
}

function addRingCommands(program: Command, runs: Runs): void {
  const ring = add(program, "ring", "the ring: its nodes, and how it becomes another");
  watching(add(ring, "status", "layout, nodes, and how far a move is"))
    .action(
      runs(({ client, terminal }, _args, options: WatchOptions) => showRing(client, terminal, options)),
    );
  changing(add(ring, "plan", "what a change would do, without doing it"))
    .action(
      runs(({ client, terminal }, _args, options: ChangeOptions) => showPlan(client, terminal, options)),
    );
  applying(changing(add(ring, "apply", "show what a change does, and do it")))
    .action(
      runs(({ client, terminal }, _args, options: ApplyOptions) => applyChange(client, terminal, options)),
    );

  const shorthand = (
    words: string,
    about: string,
    change: (args: string[]) => ChangeOptions,
  ) =>
    applying(add(ring, words, about)).action(
      runs(({ client, terminal }, args, options: ApplyOptions) =>
        applyChange(client, terminal, { ...options, ...change(args) })
      ),
    );
  shorthand("join <id...>", "let nodes that have found the ring become members", (join) => ({ join }));
  shorthand("drain <id...>", "move everything off nodes that are to leave", (drain) => ({ drain }));
  shorthand("remove <id...>", "go on without nodes that are lost", (remove) => ({ remove }));
  shorthand("replace <old> <new>", "put a node in another's place", ([from, to]) => ({
    replace: [`${from}=${to}`],
  }));
  shorthand("weight <id> <weight>", "how much a node takes, against the others", ([id, weight]) => ({
    weight: [`${id}=${weight}`],
  }));
  shorthand("zone <id> <zone>", "where a node stands", ([id, zone]) => ({ zone: [`${id}=${zone}`] }));
  shorthand("replicas <n>", "how many copies there are of everything", ([replicas]) => ({
    replicas: replicas!,
  }));

  watching(add(ring, "force-recover", "a ring of the survivors, when a majority is gone for good"))
    .option("--survivors <ID>", "the nodes to go on with; may be given several times", collected)
    .option("--confirm <WORDS>", "the words the node asks for")
    .action(
      runs(({ client, terminal }, _args, options: RecoverOptions) => forceRecover(client, terminal, options)),
    );
}

function watching(command: Command): Command {
  return command
    .option("-w, --watch", "show how far it is until the layout is settled")
    .option("--interval <SECONDS>", "of --watch (1)");
}

function applying(command: Command): Command {
  return watching(command)
    .option("-y, --yes", "do not ask")
    .option("--confirm <WORDS>", "the words that force what the node refuses");
}

function changing(command: Command): Command {
  return command
    .option("--join <ID>", "let a node become a member", collected)
    .option("--drain <ID>", "move everything off a node that is to leave", collected)
    .option("--remove <ID>", "go on without a node that is lost", collected)
    .option("--replace <OLD=NEW>", "put a node in another's place", collected)
    .option("--weight <ID=NUMBER>", "how much a node takes, against the others", collected)
    .option("--zone <ID=ZONE>", "where a node stands", collected)
    .option("--replicas <N>", "how many copies there are of everything");
}

/** `usage`: what stands after the options, where the arguments alone do not say it. */
function add(parent: Command, words: string, about: string, usage?: string): Command {
  const command = parent.command(words).description(about).helpCommand(false);
  const path = parent.parent ? `${parent.name()} ${command.name()}` : command.name();
  command.addHelpText("after", HELP[path] ?? "");
  if (usage !== undefined) command.usage(`[options] ${usage}`);
  return command;
}

function collected(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

function find(program: Command, names: readonly string[]): Command {
  let found = program;
  for (const name of names) {
    const next = found.commands.find((command) => command.name() === name);
    if (!next) throw usage(`wanted a command, got ${names.join(" ")}; "atoll help" lists them`);
    found = next;
  }
  return found;
}

/** Help for programs. */
function described(command: Command): unknown {
  return {
    name: command.name(),
    summary: command.description(),
    usage: command.usage(),
    options: command.options.map(({ flags, description }) => ({ flags, description })),
    ...(command.commands.length > 0 && { commands: command.commands.map(described) }),
  };
}
