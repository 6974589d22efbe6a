/** Whose socket it is: Linux tells by /proc, of processes of one's own without root. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Why it cannot be told here, or undefined. */
export function ownersProblem(): string | undefined {
  return textOf("/proc/net/tcp") === ""
    ? "whose socket it is cannot be told without Linux's /proc"
    : undefined;
}

/** Which of the processes has a connection from `localPort` to `remotePort`, both on loopback by IPv4. */
export function ownerOf(localPort: number, remotePort: number, pids: Iterable<number>): number | undefined {
  const socket = socketOf(localPort, remotePort);
  if (socket === undefined) return undefined;
  for (const pid of pids) {
    const directory = `/proc/${pid}/fd`;
    if (entriesOf(directory).some((entry) => linkOf(`${directory}/${entry}`) === socket)) return pid;
  }
  return undefined;
}

function socketOf(localPort: number, remotePort: number): string | undefined {
  const [local, remote] = [hexPort(localPort), hexPort(remotePort)];
  for (const line of textOf("/proc/net/tcp").split("\n")) {
    const fields = line.trim().split(/\s+/);
    if (fields[1]?.endsWith(local) && fields[2]?.endsWith(remote)) return `socket:[${fields[9]}]`;
  }
  return undefined;
}

function hexPort(port: number): string {
  return `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
}

// Processes end and files close while one looks: what is gone is simply not it.
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
