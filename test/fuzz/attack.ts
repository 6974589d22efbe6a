/** Many connections at once, each with a script of its own, until enough was answered. */
import type { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { createSeededRandom, type SeededRandom } from "../helpers/fake-random.ts";
import type { AnswerCounter, Script } from "./script.ts";

export interface AttackOptions {
  readonly port: number;
  /** TLS is spoken, and HTTP/2 chosen by ALPN. */
  readonly isSecure: boolean;
  readonly makeScript: (random: SeededRandom) => Script;
  readonly makeCounter: () => AnswerCounter;
  /** The script of connection n follows from it and n alone. */
  readonly seed: number;
  /** The first connection's number. */
  readonly from: number;
  /** Answers after which no more is begun. */
  readonly requests: number;
  /** Connections; for playing one of them again. */
  readonly connections: number;
  readonly atOnce: number;
  readonly untilMs: number;
  readonly signal: AbortSignal;
  readonly onFailure: (connection: number, what: string) => void;
  readonly onProgress?: (answers: number) => void;
}

export interface AttackReport {
  readonly connections: number;
  readonly answers: number;
  readonly bytes: number;
}

/** A whole connection, however much was asked on it, the listener half-closed to. */
const CONNECTION_DEADLINE_MS = 15_000;

export async function attack(options: AttackOptions): Promise<AttackReport> {
  let [next, answers, bytes] = [options.from, 0, 0];
  const isOver = () =>
    options.signal.aborted || answers >= options.requests || next >= options.from + options.connections ||
    performance.now() > options.untilMs;
  async function lane(): Promise<void> {
    while (!isOver()) {
      const number = next++;
      const script = options.makeScript(createSeededRandom(seedOf(options.seed, number)));
      const counter = options.makeCounter();
      const fault = await play(options, script, counter);
      answers += counter.answers;
      bytes += script.bytes.length;
      const wrong = fault ?? counter.wrong;
      if (wrong !== undefined) options.onFailure(number, wrong);
      options.onProgress?.(answers);
    }
  }
  await Promise.all(Array.from({ length: options.atOnce }, lane));
  return { connections: next - options.from, answers, bytes };
}

function seedOf(seed: number, connection: number): number {
  return Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) + Math.imul(connection, 0xc2b2ae35) >>> 0;
}

/** What was wrong with how it went. */
function play(
  { port, isSecure, signal }: AttackOptions,
  script: Script,
  counter: AnswerCounter,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const { bytes, pieces, cuts, requests, tail } = script;
    const tcp = connect({ port, host: "127.0.0.1" });
    const socket: Socket = isSecure
      ? connectTls({ socket: tcp, rejectUnauthorized: false, ALPNProtocols: ["h2"] })
      : tcp;
    tcp.on("error", () => {});
    let isWritten = false;
    let isEnding = false;
    const late = setTimeout(() => {
      socket.destroy();
      const got = `${counter.answers} of ${requests} answers`;
      // Deno (2.9) overlooks a half-close about once in a thousand; that connection then ends as an idle one does.
      const isAnswered = isEnding && counter.answers >= requests;
      resolve(
        signal.aborted || isAnswered
          ? undefined
          : `a hang: open after ${CONNECTION_DEADLINE_MS} ms with ${got}`,
      );
    }, CONNECTION_DEADLINE_MS);
    const goOn = (): void => {
      if (!isWritten || isEnding || counter.answers < requests) return;
      isEnding = true;
      if (tail) socket.write(tail);
      socket.end();
    };
    socket.on("data", (part: Buffer) => {
      counter.take(part);
      goOn();
    });
    socket.on("error", () => {}); // a reset is one of the ways in which a listener ends what it cannot read
    socket.on("close", () => {
      clearTimeout(late);
      resolve(undefined);
    });
    socket.on(isSecure ? "secureConnect" : "connect", () => {
      const step = Math.max(1, Math.ceil(bytes.length / pieces));
      const write = (at: number): void => {
        if (socket.destroyed) return;
        if (at < bytes.length) {
          socket.write(bytes.subarray(at, at + step));
          setImmediate(write, at + step);
        } else if (cuts) {
          // A reset below TLS may leave a handle that is never closed, for which Node (26) then waits in a circle when it ends.
          if (isSecure) socket.destroy();
          else socket.resetAndDestroy();
        } else {
          isWritten = true;
          goOn();
        }
      };
      write(0);
    });
  });
}
