/** The command line of the benchmark. */
import { parseArgs } from "node:util";
import type { Runtime } from "../helpers/atoll-process.ts";

export interface Peer {
  readonly name: string;
  /** No slash at the end; objects lie below it. */
  readonly url: string;
  readonly headers: readonly string[];
}

export interface Options {
  readonly runtime: Runtime;
  readonly peers: readonly Peer[];
  readonly only: RegExp;
  /** Of each run of each small row. */
  readonly seconds: number;
  readonly rounds: number;
  readonly json: string | undefined;
}

export const USAGE = `npm run bench -- [options]
  --runtime node|deno        what Atoll and the bare handler run on (node)
  --peer NAME=URL[,HEADER]…  another server: PUT and GET below URL; a header as Name=value or Name: value
  --only PATTERN             rows whose name matches, as a regular expression without regard to case
  --seconds N                length of each run with many connections (3)
  --rounds N                 runs of each row and server, interleaved; the median counts (3)
  --json FILE                everything measured, for programs`;

/** Throws with what was wanted; the caller shows the usage. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runtime: { type: "string", default: "node" },
      peer: { type: "string", multiple: true, default: [] },
      only: { type: "string", default: "" },
      seconds: { type: "string", default: "3" },
      rounds: { type: "string", default: "3" },
      json: { type: "string" },
    },
  });
  const { runtime } = values;
  if (runtime !== "node" && runtime !== "deno") {
    throw new Error(`--runtime: wanted node or deno, got ${runtime}`);
  }
  return {
    runtime,
    peers: values.peer.map(parsePeer),
    only: new RegExp(values.only, "i"),
    seconds: positive("--seconds", values.seconds),
    rounds: positive("--rounds", values.rounds),
    json: values.json,
  };
}

function parsePeer(text: string): Peer {
  const [address = "", ...headers] = text.split(",");
  const at = address.indexOf("=");
  const url = address.slice(at + 1);
  if (at < 1 || !URL.canParse(url)) throw new Error(`--peer: wanted NAME=URL, got ${address}`);
  return {
    name: address.slice(0, at),
    url: url.replace(/\/+$/, ""),
    headers: headers.map((header) => header.includes(": ") ? header : header.replace("=", ": ")),
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new Error(`${name}: wanted a whole number above 0, got ${text}`);
  }
  return value;
}
