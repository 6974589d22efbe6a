/** A real etcd of one member on loopback, where the program is installed (Debian: `etcd-server`). */
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { createClock } from "../../src/adapters/clock.ts";
import { EtcdGateway } from "../../src/adapters/etcd-gateway.ts";
import { anyAnswer } from "../../src/adapters/etcd-messages.ts";
import { until, within } from "./deadline.ts";
import { freePorts } from "./ports.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const START_DEADLINE_MS = 20_000;

/** Undefined where etcd is to be had; tests are skipped with it otherwise. `.ci/run` installs etcd. */
export const NO_ETCD: string | undefined = spawnSync("etcd", ["--version"]).status === 0
  ? undefined
  : "there is no etcd on this machine (Debian package etcd-server); .ci/run installs it";

export interface EtcdProcess extends AsyncDisposable {
  readonly url: string;
  /** For the test's own questions. */
  readonly gateway: EtcdGateway;
  pause(): void;
  resume(): void;
  /** Ends it at once; `restart` begins anew with the same data, or with none. */
  kill(): Promise<void>;
  restart(options?: { empty: boolean }): Promise<void>;
}

export async function startEtcd(): Promise<EtcdProcess> {
  const directory = temporaryDirectory();
  const [clientPort, peerPort] = await freePorts(2);
  const url = `http://127.0.0.1:${clientPort}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const gateway = new EtcdGateway([url], createClock());
  let generation = 0;
  let running: { readonly pid: number; readonly ended: Promise<void> } | undefined;

  const start = async (): Promise<void> => {
    const lines: string[] = [];
    const child = spawn("etcd", [
      `--data-dir=${join(directory.path, String(generation))}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=default=${peerUrl}`,
      "--unsafe-no-fsync",
    ], { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      lines.push(...text.split("\n"));
      lines.splice(0, lines.length - 20);
    });
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    running = { pid: child.pid!, ended };
    const answers = async () => {
      try {
        await gateway.call("/v3/kv/range", { key: "eA==" }, anyAnswer);
        return true;
      } catch {
        return false; // not yet
      }
    };
    await until(`etcd answers at ${url}`, START_DEADLINE_MS, answers, lines);
  };
  // Not `child.kill`, which on Deno takes the first signal for the end.
  const send = (signal: NodeJS.Signals) => running && process.kill(running.pid, signal);
  const kill = async (): Promise<void> => {
    if (!running) return;
    const { ended } = running;
    send("SIGKILL");
    running = undefined;
    await within(ended, 10_000, "etcd is gone");
  };
  const dispose = async (): Promise<void> => {
    await kill();
    await gateway.close();
    directory[Symbol.dispose]();
  };
  try {
    await start();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    url,
    gateway,
    pause: () => send("SIGSTOP"),
    resume: () => send("SIGCONT"),
    kill,
    async restart({ empty } = { empty: false }) {
      if (empty) generation++;
      await start();
    },
    [Symbol.asyncDispose]: dispose,
  };
}
