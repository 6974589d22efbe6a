/** Tables of what a cache must do between a client and an origin: a real node, a real origin, and what each of them saw. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "./atoll-process.ts";
import { ask, type Reply as Answer } from "./raw-http.ts";
import { HERE } from "./raw-start.ts";
import { type Reply, type ScriptedOrigin, startScriptedOrigin } from "./scripted-origin.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

export type Fields = Readonly<Record<string, string>>;

export interface Step {
  readonly method?: string;
  readonly headers?: Fields;
  /** Whose content comes: that of the origin's answer of this number; null: no matter. */
  readonly body: number | null | string;
  /** Requests that the origin has seen by then. */
  readonly asked: number;
  readonly status?: number;
  /** Of the answer; null: must not be there. */
  readonly has?: Readonly<Record<string, string | RegExp | null>>;
  /** Of the origin's last request. */
  readonly sent?: Readonly<Record<string, string | RegExp | null>>;
}

export interface Case {
  readonly what: string;
  readonly section: string;
  /** One after the other; the last again and again. The body of the n-th is "answer n" unless it says another. */
  readonly origin: readonly Reply[];
  readonly steps: readonly Step[];
}

/** Seconds from now, as dates are sent. */
export function at(seconds: number): string {
  return new Date(Date.now() + seconds * 1000).toUTCString();
}

/** Asked twice: is the first answer used again? */
export function reuse(
  what: string,
  section: string,
  isReused: boolean,
  headers: Reply["headers"],
  status?: number,
): Case {
  const reply: Reply = { ...(status !== undefined && { status }), headers: headers ?? [] };
  const second = isReused ? { body: 1, asked: 1 } : { body: 2, asked: 2 };
  const said = status === undefined ? {} : { status };
  return {
    what: `${what} is ${isReused ? "" : "not "}reused`,
    section,
    origin: [reply],
    steps: [{ body: 1, asked: 1, ...said }, { ...second, ...said }],
  };
}

/** Runs them at one node in one bucket, each with a key of its own. */
export function runCases(bucket: object, cases: readonly Case[]): void {
  let node: AtollProcess;
  let origin: ScriptedOrigin;
  const directory = temporaryDirectory();
  const byPath = new Map(cases.map((each, i) => [`/files/${i}`, each]));

  before(async () => {
    origin = await startScriptedOrigin(({ path }, count) => {
      const replies = byPath.get(path)?.origin ?? [];
      const reply = replies[Math.min(count, replies.length) - 1] ?? { status: 404 };
      return { body: `answer ${count}`, ...reply };
    });
    node = await startNode({
      runtime: HERE,
      dataDir: join(directory.path, "data"),
      env: { ATOLL_ORIGIN_ALLOW_PRIVATE: "127.0.0.1" },
    });
    const settings = { origin: { url: `${origin.url}/files`, redirects: "pass", ...bucket } };
    const set = await ask(`${node.publicUrl}/_/buckets/mirror`, {
      method: "PUT",
      body: JSON.stringify(settings),
      headers: { "Content-Length": String(JSON.stringify(settings).length) },
    });
    assert.equal(set.status, 201, set.body.toString());
  });
  after(async () => {
    await node?.[Symbol.asyncDispose]();
    await origin?.[Symbol.asyncDispose]();
    directory[Symbol.dispose]();
  });

  assert.equal(
    new Set(cases.map(({ what, section }) => what + section)).size,
    cases.length,
    "no case stands twice",
  );
  for (const [i, { what, section, steps }] of cases.entries()) {
    test(`${what} (${section})`, async () => {
      for (const [n, step] of steps.entries()) {
        const { method = "GET", headers = {}, body, asked, status, has = {}, sent = {} } = step;
        const length: Fields = method === "PUT" ? { "Content-Length": "4" } : {};
        const answer = await ask(`${node.publicUrl}/mirror/${i}`, {
          method,
          headers: { ...length, ...headers },
          ...(method === "PUT" && { body: "mine" }),
        });
        const label = `request ${n + 1}: ${show(answer)}`;
        if (status !== undefined || typeof body === "number") {
          assert.equal(answer.status, status ?? 200, label);
        }
        if (body !== null && answer.status !== 204) {
          const wanted = typeof body === "string" ? body : `answer ${body}`;
          assert.equal(answer.body.toString(), wanted, label);
        }
        const seen = origin.seen(`/files/${i}`);
        assert.equal(seen.length, asked, `requests at the origin; ${label}`);
        check(answer.headers, has, label);
        check(seen.at(-1)?.headers ?? {}, sent, `sent to the origin: ${JSON.stringify(seen.at(-1))}`);
      }
    });
  }
}

function check(
  headers: Fields,
  wanted: Readonly<Record<string, string | RegExp | null>>,
  label: string,
): void {
  for (const [name, value] of Object.entries(wanted)) {
    const got = headers[name];
    if (value === null) assert.equal(got, undefined, `${name}; ${label}`);
    else if (typeof value === "string") assert.equal(got, value, `${name}; ${label}`);
    else assert.match(got ?? "", value, `${name}; ${label}`);
  }
}

function show({ status, headers, body }: Answer): string {
  return `${status} ${JSON.stringify(headers)} ${JSON.stringify(body.toString().slice(0, 200))}`;
}
