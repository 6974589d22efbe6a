/** Which processes hold the listening socket of a port: a server that was started by somebody else has memory too. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const LISTEN = "0A";

/** None where it cannot be seen: another machine, another user's process, no /proc. */
export function listenerPids(port: number): number[] {
  const sockets = new Set(["tcp", "tcp6"].flatMap((table) => socketsOf(table, port)));
  if (sockets.size === 0) return [];
  return entriesOf("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) =>
    entriesOf(`/proc/${pid}/fd`).some((fd) => sockets.has(linkOf(`/proc/${pid}/fd/${fd}`)))
  );
}

function socketsOf(table: string, port: number): string[] {
  const lines = textOf(`/proc/net/${table}`).split("\n").slice(1).map((line) => line.trim().split(/\s+/));
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return lines.filter((line) => line[1]?.endsWith(suffix) && line[3] === LISTEN).map((line) =>
    `socket:[${line[9]}]`
  );
}

// Processes end and files close while one looks: what is gone is simply not it.
function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
