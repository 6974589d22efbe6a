/** A TCP connection by hand, for what no well-behaved client sends. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { within } from "./deadline.ts";

const DEADLINE_MS = 10_000;

export class RawSocket {
  readonly #socket: Socket;
  readonly #closed: Promise<void>;
  #received = "";
  #wake = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      this.#received += text;
      this.#wake();
    });
    socket.on("close", () => this.#wake());
    socket.on("error", () => {}); // a reset is one of the ways in which a server closes
  }

  static async open(port: number, text = ""): Promise<RawSocket> {
    const socket = connect(port, "127.0.0.1");
    const raw = new RawSocket(socket);
    await once(socket, "connect");
    raw.write(text);
    return raw;
  }

  get received(): string {
    return this.#received;
  }

  write(text: string): void {
    this.#socket.write(text, "latin1");
  }

  /** Takes nothing more. */
  pause(): void {
    this.#socket.pause();
  }

  /** Half-closes, as a client does that has nothing more to say. */
  end(): void {
    this.#socket.end();
  }

  /** Lets go of the connection; the other end hears of it at once. */
  cut(): void {
    this.#socket.resetAndDestroy();
  }

  /** What was received once the pattern is in it. */
  async until(pattern: RegExp): Promise<string> {
    const found = (async () => {
      while (!pattern.test(this.#received)) {
        if (this.#socket.destroyed) {
          throw new Error(`closed before ${pattern}: ${JSON.stringify(this.#received)}`);
        }
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      return this.#received;
    })();
    return await within(found, DEADLINE_MS, `${pattern} was received`, [this.#received]);
  }

  /** All that was received once the other end has closed. */
  async closed(): Promise<string> {
    await within(this.#closed, DEADLINE_MS, "the connection is closed", [this.#received]);
    return this.#received;
  }
}

/** All that a server answers to a text, after which it must close. */
export async function answerTo(port: number, text: string): Promise<string> {
  return await (await RawSocket.open(port, text)).closed();
}
