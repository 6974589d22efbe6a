/** An origin that answers as it is told, byte for byte: for a cache that must take it at its word, and notice its lies. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";

export interface Seen {
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface Reply {
  readonly status?: number;
  /** Several of a name are several lines. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: string | Buffer;
  /** Instead of all that: writes what it likes. Resolves when the answer is at its end. */
  readonly raw?: (socket: Socket, seen: Seen) => Promise<void> | void;
  /** The framing is among `headers`, or there is none. */
  readonly unframed?: boolean;
}

export interface ScriptedOrigin extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Requests for a path so far. */
  seen(path: string): readonly Seen[];
}

/** `answer` is asked for each request; `count` is of those for the same path, this one included. */
export async function startScriptedOrigin(
  answer: (seen: Seen, count: number) => Reply,
): Promise<ScriptedOrigin> {
  const all = new Map<string, Seen[]>();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined); // caches go away too
    socket.on("close", () => sockets.delete(socket));
    let text = "";
    let busy = Promise.resolve();
    socket.on("data", (part: Buffer) => {
      text += part.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end !== -1; end = text.indexOf("\r\n\r\n")) {
        const seen = parse(text.slice(0, end));
        text = text.slice(end + 4);
        const before = all.get(seen.path) ?? [];
        all.set(seen.path, [...before, seen]);
        const reply = answer(seen, before.length + 1);
        busy = busy.then(async () => {
          if (reply.raw) await reply.raw(socket, seen);
          else socket.write(wire(reply, seen.method === "HEAD"));
        });
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    seen: (path) => all.get(path) ?? [],
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      for (const socket of sockets) socket.destroy();
      server.close();
      await closed;
    },
  };
}

function parse(head: string): Seen {
  const [line = "", ...fields] = head.split("\r\n");
  const [method = "", path = ""] = line.split(" ");
  const headers = Object.create(null) as Record<string, string>; // a header may be called constructor
  for (const field of fields) {
    const colon = field.indexOf(":");
    const name = field.slice(0, colon).toLowerCase();
    const value = field.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return { method, path, headers };
}

function wire({ status = 200, headers = [], body = "", unframed = false }: Reply, isHead: boolean): Buffer {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  const bare = status === 204 || status === 304;
  const length = unframed || bare ? [] : [["Content-Length", String(bytes.length)] as const];
  const lines = [...headers, ...length].map(([name, value]) => `${name}: ${value}\r\n`);
  const head = Buffer.from(`HTTP/1.1 ${status} Scripted\r\n${lines.join("")}\r\n`, "latin1");
  return isHead || bare ? head : Buffer.concat([head, bytes]);
}
