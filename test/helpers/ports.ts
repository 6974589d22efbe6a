/** Free TCP ports on loopback, for what must be known before the listener exists: the seeds of a ring. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/**
 * So many distinct ports that were free a moment ago: all are held at once, then let go together. Somebody else may take
 * one before it is used; where port 0 will do, use port 0.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ports.push((server.address() as AddressInfo).port);
  }
  for (const server of servers) {
    server.close();
    await once(server, "close");
  }
  return ports;
}
