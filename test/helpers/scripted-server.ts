/** A server that sends what it is told to, byte for byte, and breaks off as told: for clients that must notice. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";

export interface ScriptedServer extends AsyncDisposable {
  readonly url: string;
  /** The heads of the requests so far. */
  readonly heads: string[];
}

/**
 * `script` is run for each connection's first request, when its head is here. `body` returns when so many bytes of the
 * request's body have come.
 */
export async function startScriptedServer(
  script: (turn: {
    readonly head: string;
    readonly socket: Socket;
    readonly body: (bytes: number) => Promise<void>;
  }) => Promise<void> | void,
): Promise<ScriptedServer> {
  const heads: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined); // clients go away too
    let received = 0;
    let text = "";
    let wake = () => {};
    socket.on("data", (part: Buffer) => {
      const before = text.indexOf("\r\n\r\n");
      if (before === -1) text += part.toString("latin1");
      received = before === -1 ? text.length - (text.indexOf("\r\n\r\n") + 4) : received + part.length;
      wake();
      const end = text.indexOf("\r\n\r\n");
      if (before !== -1 || end === -1) return;
      const head = text.slice(0, end);
      heads.push(head);
      const body = async (bytes: number) => {
        for (;;) {
          if (received >= bytes || socket.destroyed) return;
          await new Promise<void>((resolve) => (wake = resolve));
        }
      };
      void script({ head, socket, body });
    });
    socket.on("close", () => {
      sockets.delete(socket);
      wake();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heads,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      for (const socket of sockets) socket.destroy();
      server.close();
      await closed;
    },
  };
}
