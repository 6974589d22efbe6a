/** `atoll rm`: objects by name, or all of a prefix. */
import {
  addressText,
  named,
  type ObjectAddress,
  objectPath,
  parseObjectAddress,
  parsePrefixAddress,
  printable,
} from "./address.ts";
import { EXIT, type ExitCode, Failure, usage } from "./failure.ts";
import { listObjects } from "./listing.ts";
import type { NodeClient } from "./node-client.ts";
import type { Terminal } from "./terminal.ts";
import { counted, formatBytes } from "./units.ts";

const DELETES_AT_ONCE = 8;

export interface RmOptions {
  readonly recursive?: boolean;
  readonly yes?: boolean;
  /** An object that is not there is no failure. */
  readonly force?: boolean;
  readonly ifMatch?: string;
  readonly ifVersion?: string;
}

export async function rm(
  client: NodeClient,
  terminal: Terminal,
  places: readonly string[],
  options: RmOptions,
): Promise<ExitCode> {
  if (options.recursive === true && (options.ifMatch !== undefined || options.ifVersion !== undefined)) {
    throw usage("--if-match and --if-version are of one object, wanted no --recursive with them");
  }
  // All names are looked at before anything is deleted.
  const work = places.map((place) =>
    options.recursive === true
      ? { prefix: parsePrefixAddress(place), place }
      : { object: parseObjectAddress(place), place }
  );
  let exitCode: ExitCode = EXIT.done;
  for (const item of work) {
    try {
      if (item.prefix) await removeAll(client, terminal, item.prefix, options);
      else await removeOne(client, terminal, item.object, options);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (work.length === 1 || error.code === "unreachable" || error.exitCode === EXIT.brokenPipe) {
        throw error;
      }
      await terminal.error(error);
      if (exitCode === EXIT.done) exitCode = error.exitCode;
    }
  }
  return exitCode;
}

async function removeOne(
  client: NodeClient,
  terminal: Terminal,
  object: ObjectAddress,
  options: RmOptions,
): Promise<void> {
  const isPlain = options.ifMatch === undefined && options.ifVersion === undefined;
  const headers: Record<string, string> = {};
  if (options.ifMatch !== undefined) headers["If-Match"] = options.ifMatch;
  if (options.ifVersion !== undefined) headers["Atoll-If-Version"] = options.ifVersion;
  // DELETE of nothing succeeds; whoever names an object means one that is there.
  if (isPlain && options.force !== true) headers["If-Match"] = "*";
  const version = await remove(client, object, headers).catch((error: unknown) => {
    if (isPlain && error instanceof Failure && error.status === 412) {
      throw named(
        new Failure(EXIT.notFound, "there is no such object", { code: "not-found", status: 404 }),
        object,
      );
    }
    throw named(error, object);
  });
  await terminal.result(`removed ${addressText(object)}`, { command: "rm", ...object, version });
}

async function remove(
  client: NodeClient,
  object: ObjectAddress,
  headers: Readonly<Record<string, string>> = {},
): Promise<number | null> {
  const answer = await client.request({ method: "DELETE", path: objectPath(object), headers });
  await answer.discard();
  const version = answer.header("atoll-version");
  return version === undefined ? null : Number(version);
}

async function removeAll(
  client: NodeClient,
  terminal: Terminal,
  place: { readonly bucket: string; readonly prefix: string },
  options: RmOptions,
): Promise<void> {
  const { bucket, prefix } = place;
  const shown = printable(`${bucket}/${prefix}`);
  if (options.yes !== true) await confirm(client, terminal, place, shown);
  let removed = 0;
  for await (const { objects } of listObjects(client, bucket, prefix, { isRecursive: true })) {
    const queue = objects.values();
    const worker = async () => {
      for (const { key } of queue) {
        const object = { bucket, key };
        const version = await remove(client, object).catch((error: unknown) => {
          throw named(error, object);
        });
        removed++;
        if (terminal.isJson) await terminal.result("", { command: "rm", ...object, version });
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: DELETES_AT_ONCE }, worker));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed) {
      await terminal.note(
        `atoll: ${counted(removed, "object")} under ${shown} were removed before it failed`,
      );
      throw failed.reason;
    }
    if (terminal.progress.style === "bar") {
      terminal.progress.show(`${shown}  ${counted(removed, "object")} removed`);
    }
  }
  terminal.progress.clear();
  if (!terminal.isJson) {
    await terminal.result(`removed ${counted(removed, "object")} under ${shown}`, undefined);
  }
}

/** Counted first: a prefix that is one character too short looks like any other, its count does not. */
async function confirm(
  client: NodeClient,
  terminal: Terminal,
  { bucket, prefix }: { readonly bucket: string; readonly prefix: string },
  shown: string,
): Promise<void> {
  if (!terminal.isInteractive) {
    throw usage(`rm --recursive ${shown} asks before it deletes, and nobody is there to ask: wanted --yes`);
  }
  let count = 0;
  let bytes = 0;
  for await (const { objects } of listObjects(client, bucket, prefix, { isRecursive: true })) {
    count += objects.length;
    for (const { size } of objects) bytes += size;
  }
  if (count === 0) return;
  const words = `delete ${count}`;
  const answer = await terminal.ask(
    `${shown} holds ${counted(count, "object")}, ${formatBytes(bytes)}. Type "${words}" to delete them:`,
  );
  if (answer !== words) {
    throw new Failure(
      EXIT.error,
      `wanted "${words}", got ${JSON.stringify(answer ?? "")}: nothing was deleted`,
      {
        code: "not-confirmed",
      },
    );
  }
}
