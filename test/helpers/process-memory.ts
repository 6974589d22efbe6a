/** How much memory a process holds, as Linux counts it. */
import { readFileSync } from "node:fs";

export interface Memory {
  readonly rssBytes: number;
  /** The most it ever was. */
  readonly peakBytes: number;
}

/** Linux: from /proc, so that any process can be asked, not only ours. */
export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const bytes = (name: string) =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  const rssBytes = bytes("VmRSS");
  // The kernel brings its high-water mark up to date only now and then.
  return { rssBytes, peakBytes: Math.max(bytes("VmHWM"), rssBytes) };
}
