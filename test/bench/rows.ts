/** What is measured, row by row. */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { download, upload } from "./curl.ts";
import { firstByteMs } from "./first-byte.ts";
import { makeSampleFile, stampSampleFile } from "./sample-file.ts";
import { answerHeaders, type Server, type Servers, store } from "./servers.ts";
import { wrk } from "./wrk.ts";

export const LARGE_BYTES = 256 << 20;
const KIB = 1 << 10;
const MIB = 1 << 20;
const GET_CONNECTIONS = 64;
const PUT_CONNECTIONS = 32;

export interface Sample {
  readonly value: number;
  readonly errors: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
}

export interface Row {
  readonly name: string;
  readonly unit: "req/s" | "MB/s" | "ms" | "p99/p50";
  readonly needsWrk: boolean;
  /** Once, before the rounds. */
  prepare?(servers: Servers): Promise<void>;
  run(server: Server): Promise<Sample>;
  /** Once, after the rounds. */
  finish?(): Promise<void>;
}

export function rows(directory: string, seconds: number): Row[] {
  const sizes: [string, number][] = [["4 KiB", 4 * KIB], ["64 KiB", 64 * KIB], ["1 MiB", MIB]];
  return [
    smallGet("hot GET 1 KiB", KIB, ["Cache-Control: max-age=3600"], directory, seconds),
    halfLoadGet(directory, seconds),
    ...sizes.map(([label, bytes]) => smallGet(`GET ${label}`, bytes, [], directory, seconds)),
    ...sizes.map(([label, bytes]) => smallPut(`PUT ${label}`, bytes, directory, seconds)),
    largeGet(directory),
    largePut(directory),
    strongGet(seconds),
  ];
}

function smallGet(name: string, bytes: number, headers: string[], directory: string, seconds: number): Row {
  const key = name.replaceAll(" ", "-");
  return {
    name,
    unit: "req/s",
    needsWrk: true,
    prepare: (servers) => storeAlike(servers, key, randomBytes(bytes), headers),
    run: async (server) => {
      const url = `${server.url}/${key}`;
      const load = await wrk(directory, {
        url,
        headers: server.headers,
        connections: GET_CONNECTIONS,
        seconds,
      });
      return { ...load, value: load.requestsPerSecond };
    },
  };
}

/** How much longer the slowest take than most, while the server has time: at about half of what it can do. */
function halfLoadGet(directory: string, seconds: number): Row {
  const pauses = new Map<Server, number>();
  const key = "half-load";
  const load = (server: Server, options: { seconds: number; pauseMs?: number }) =>
    wrk(directory, {
      url: `${server.url}/${key}`,
      headers: server.headers,
      connections: GET_CONNECTIONS,
      ...options,
    });
  return {
    name: "hot GET 1 KiB at half load",
    unit: "p99/p50",
    needsWrk: true,
    prepare: async (servers) => {
      await storeAlike(servers, key, randomBytes(KIB), ["Cache-Control: max-age=3600"]);
      for (const server of servers.all) {
        await load(server, { seconds: 1 }); // compiles what is busy
        const { requestsPerSecond } = await load(server, { seconds });
        pauses.set(server, Math.round(1_000 * GET_CONNECTIONS / (requestsPerSecond / 2)));
      }
    },
    run: async (server) => {
      const { p50Ms, p99Ms, errors } = await load(server, { seconds, pauseMs: pauses.get(server)! });
      return { value: p99Ms / p50Ms, p50Ms, p99Ms, errors };
    },
  };
}

function smallPut(name: string, putBytes: number, directory: string, seconds: number): Row {
  return {
    name,
    unit: "req/s",
    needsWrk: true,
    run: async ({ url, headers }) => {
      const load = await wrk(directory, { url, headers, connections: PUT_CONNECTIONS, seconds, putBytes });
      return { ...load, value: load.requestsPerSecond };
    },
  };
}

function largeGet(directory: string): Row {
  const path = join(directory, "large-get");
  return {
    name: "streaming GET 256 MiB",
    unit: "MB/s",
    needsWrk: false,
    prepare: async (servers) => {
      await makeSampleFile(path, LARGE_BYTES);
      for (const server of servers.all.filter((each) => each !== servers.bare)) {
        await upload(path, `${server.url}/large`, server.headers);
      }
      await upload(path, `${servers.bare.url}/large`, [await answerHeaders(servers.one, "large")]);
    },
    run: async (server) => {
      const { bytesPerSecond } = await download(`${server.url}/large`, server.headers);
      return { value: bytesPerSecond / 1e6, errors: 0 };
    },
    finish: () => rm(path),
  };
}

function largePut(directory: string): Row {
  const path = join(directory, "large-put");
  let count = 0;
  return {
    name: "streaming PUT 256 MiB",
    unit: "MB/s",
    needsWrk: false,
    prepare: () => makeSampleFile(path, LARGE_BYTES),
    run: async (server) => {
      await stampSampleFile(path, LARGE_BYTES);
      const { bytesPerSecond } = await upload(path, `${server.url}/large-${++count}`, server.headers);
      return { value: bytesPerSecond / 1e6, errors: 0 };
    },
    finish: () => rm(path),
  };
}

function strongGet(seconds: number): Row {
  return {
    name: "strong GET 4 KiB first byte",
    unit: "ms",
    needsWrk: false,
    prepare: (servers) => storeAlike(servers, "strong", randomBytes(4 * KIB), []),
    run: async (server) => ({
      value: await firstByteMs(`${server.url}/strong`, server.headers, seconds),
      errors: 0,
    }),
  };
}

/** The same bytes on all; the bare handler also gets the headers with which the ring of one answers. */
async function storeAlike(
  servers: Servers,
  key: string,
  body: Uint8Array<ArrayBuffer>,
  headers: string[],
): Promise<void> {
  for (const server of servers.all.filter((each) => each !== servers.bare)) {
    await store(server, key, body, headers);
  }
  await store(servers.bare, key, body, [await answerHeaders(servers.one, key)]);
}
