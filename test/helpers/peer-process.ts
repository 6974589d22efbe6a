/** A peer in a process of its own, on either runtime. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { binary, PROJECT } from "../tools/project.ts";
import { within } from "./deadline.ts";

const DEADLINE_MS = 30_000;
const SCRIPT = join(PROJECT, "test/adapters/children/peer-server.ts");

export interface PeerProcess extends AsyncDisposable {
  readonly port: number;
  /** As a machine that loses power. */
  kill(): Promise<void>;
}

export async function startPeer(
  runtime: "node" | "deno",
  options: { port?: number; secret?: string } = {},
): Promise<PeerProcess> {
  const flags = runtime === "deno" ? ["run", "-A", "--no-check"] : [];
  const args = [...flags, SCRIPT, String(options.port ?? 0), options.secret ?? ""];
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(binary(runtime), args, {
    cwd: PROJECT,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exited = once(child, "close").then(() => undefined);
  const end = async (act: () => void) => {
    act();
    await within(exited, DEADLINE_MS, "the peer's process ends", []);
  };
  const told = once(child.stdout, "data").then(([text]) => Number(String(text)));
  const port = await within(
    Promise.race([told, exited.then(() => Number.NaN)]),
    DEADLINE_MS,
    "the peer listens",
    [],
  );
  if (Number.isNaN(port)) throw new Error("the peer ended before it listened");
  return {
    port,
    kill: () => end(() => child.kill("SIGKILL")),
    [Symbol.asyncDispose]: () => end(() => child.stdin.end()),
  };
}
