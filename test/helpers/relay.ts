/**
 * The network between the nodes of a ring, for whoever has no root: each node is reached by the others through an address
 * of the relay's, which knows who dials by whose socket it is. Every direction between two nodes has a weather of its own.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createSeededRandom, type SeededRandom } from "./fake-random.ts";
import { FAIR, Flow, type Weather } from "./relay-flow.ts";
import { ownerOf } from "./socket-owners.ts";

export interface RelayOptions {
  /** Where the nodes really listen. */
  readonly targetPorts: readonly number[];
  /** The relay's own, one for each node. */
  readonly ports: readonly number[];
  /** Of what is lost. */
  readonly seed: number;
}

interface Connection {
  readonly from: number;
  readonly to: number;
  readonly sockets: readonly Socket[];
  readonly flows: readonly Flow[];
}

export class Relay implements AsyncDisposable {
  readonly #options: RelayOptions;
  readonly #random: SeededRandom;
  readonly #servers: Server[] = [];
  readonly #connections = new Set<Connection>();
  readonly #weathers = new Map<string, Weather>();
  /** The node that a process runs. */
  readonly #nodes = new Map<number, number>();

  private constructor(options: RelayOptions) {
    this.#options = options;
    this.#random = createSeededRandom(options.seed);
  }

  static async open(options: RelayOptions): Promise<Relay> {
    const relay = new Relay(options);
    for (const [index, port] of options.ports.entries()) {
      const server = createServer(
        { allowHalfOpen: true, noDelay: true },
        (socket) => relay.#accept(socket, index),
      );
      relay.#servers.push(server);
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    }
    return relay;
  }

  /** The process that runs a node now: nobody else is let through in its name. */
  runs(pid: number, index: number): void {
    for (const [other, node] of this.#nodes) if (node === index) this.#nodes.delete(other);
    this.#nodes.set(pid, index);
  }

  /** In one direction: of all that `from` sends to `to`, whoever of them opened the connection. */
  set(from: number, to: number, weather: Partial<Weather>): void {
    const key = `${from} ${to}`;
    this.#weathers.set(key, { ...this.#weathers.get(key) ?? FAIR, ...weather });
    this.#passAll();
  }

  /** In both directions between two groups. */
  setBetween(some: readonly number[], others: readonly number[], weather: Partial<Weather>): void {
    for (const a of some) {
      for (const b of others) {
        this.set(a, b, weather);
        this.set(b, a, weather);
      }
    }
  }

  /** The weather is fair everywhere, and what was held back arrives. */
  heal(): void {
    this.#weathers.clear();
    this.#passAll();
  }

  /** Breaks all connections between two nodes. */
  reset(a: number, b: number): void {
    for (const connection of this.#connections) {
      const { from, to } = connection;
      if ((from === a && to === b) || (from === b && to === a)) this.#drop(connection);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#servers.map((server) =>
      new Promise<void>((resolve) => server.close(() => resolve()))
    );
    for (const connection of this.#connections) this.#drop(connection);
    await Promise.all(closed);
  }

  #passAll(): void {
    for (const { flows } of this.#connections) for (const flow of flows) flow.pass();
  }

  #accept(dialler: Socket, to: number): void {
    const pid = ownerOf(dialler.remotePort!, this.#options.ports[to]!, this.#nodes.keys());
    const from = pid === undefined ? undefined : this.#nodes.get(pid);
    dialler.on("error", () => undefined); // its close follows
    if (from === undefined) {
      dialler.resetAndDestroy(); // it has hung up already, or is no node
      return;
    }
    const target = connect({
      port: this.#options.targetPorts[to]!,
      host: "127.0.0.1",
      allowHalfOpen: true,
      noDelay: true,
    });
    target.on("error", () => undefined);
    const there = new Flow(dialler, target, () => this.#weather(from, to), this.#random);
    const back = new Flow(target, dialler, () => this.#weather(to, from), this.#random);
    const connection: Connection = { from, to, sockets: [dialler, target], flows: [there, back] };
    this.#connections.add(connection);
    let isConnected = false;
    target.once("connect", () => (isConnected = true));
    for (const [socket, flow] of [[dialler, there], [target, back]] as const) {
      socket.once("close", () => {
        if (connection.sockets.every((each) => each.destroyed)) this.#drop(connection);
        // Nobody listens there: the dialler is told at once, by what a relay has for it.
        else if (socket === target && !isConnected) this.#drop(connection);
        else if (!socket.readableEnded) flow.broken();
      });
    }
  }

  #weather(from: number, to: number): Weather {
    return this.#weathers.get(`${from} ${to}`) ?? FAIR;
  }

  #drop(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    for (const flow of connection.flows) flow.stop();
    // One that has said its last word cannot be reset: Node (26) then keeps its handle, and spins.
    for (const socket of connection.sockets) {
      if (socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
  }
}
