/**
 * Attempts to get in, at real nodes: each is refused with its status, nothing is stored by any, and nothing that is stored
 * is told. First the public door, then the one between nodes.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { basic, bearer, CLUSTER_SECRET, KEYS, presigned } from "../helpers/credentials.ts";
import { until } from "../helpers/deadline.ts";
import { ask, put } from "../helpers/raw-http.ts";
import { answerTo } from "../helpers/raw-socket.ts";
import { HERE } from "../helpers/raw-start.ts";
import { LET_IN, OTHER_SITES } from "./doors-other-sites.ts";
import { PRESIGNED } from "./doors-presigned.ts";
import { type Attempt, auth, CONTENT, CONTENT_SHA256, REQUESTS } from "./doors-requests.ts";

const { admin, reader, dropper } = KEYS;
const ATTEMPTS = [...REQUESTS, ...PRESIGNED];
const AUTHORIZED = { Authorization: bearer(admin) };

let directory: string;
let node: AtollProcess;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-doors-"));
  node = await startNode({
    runtime: HERE,
    dataDir: join(directory, "data"),
    env: {
      ATOLL_KEYS: JSON.stringify(Object.values(KEYS)),
      ATOLL_CLUSTER_SECRET: CLUSTER_SECRET,
    },
  });
  for (const path of ["/docs/a", "/docs/in/a", "/other/a"]) {
    assert.equal((await put(node.publicUrl + path, CONTENT, { headers: AUTHORIZED })).status, 201);
  }
});
after(async () => {
  await node[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

/** Everything that came, of a connection that the server closes. */
async function attempt(
  { method = "GET", target, lines = [], host = "atoll.test", body }: Attempt,
  at = node,
): Promise<string> {
  const isChunked = lines.some((line) => line === "Transfer-Encoding: chunked") &&
    !lines.some((line) => line.startsWith("Auth"));
  const head = [
    `${method} ${typeof target === "string" ? target : target()} HTTP/1.1`,
    `Host: ${host}`,
    ...lines,
    ...(body === undefined || isChunked ? [] : [`Content-Length: ${body.length}`]),
    "Connection: close",
  ];
  return await answerTo(Number(new URL(at.publicUrl).port), `${head.join("\r\n")}\r\n\r\n${body ?? ""}`);
}

async function stored(): Promise<string> {
  const lists = [];
  for (const bucket of ["docs", "other"]) {
    const { body } = await ask(`${node.publicUrl}/${bucket}`, { headers: AUTHORIZED });
    lists.push(body.toString());
  }
  const keys = await ask(`${node.publicUrl}/_/keys`, { headers: AUTHORIZED });
  return `${lists.join("")}${keys.body.toString()}`;
}

describe("the public door", () => {
  test("there are 60 attempts and more", () => {
    assert.ok(ATTEMPTS.length >= 60, `${ATTEMPTS.length}`);
    assert.equal(new Set(ATTEMPTS.map(({ what }) => what)).size, ATTEMPTS.length);
  });

  for (const one of ATTEMPTS) {
    test(`${one.what}: ${one.status}`, async () => {
      const before = await stored();
      const answer = await attempt(one);
      assert.equal(answer.slice(0, 13), `HTTP/1.1 ${one.status} `, answer);
      // Neither content nor digest nor version of anything, and no second answer to a smuggled request.
      assert.ok(!answer.includes(CONTENT) && !answer.includes(CONTENT_SHA256), answer);
      assert.ok(!/^(etag|atoll-version):/im.test(answer), answer);
      assert.equal(answer.split("HTTP/1.1 ").length, 2, answer);
      assert.equal(await stored(), before, "nothing was stored");
    });
  }

  test("who is refused learns by no header or word whether the object is there", async () => {
    for (const lines of [[], [auth(bearer(dropper))], [auth(bearer({ ...admin, secret: "wrong" }))]]) {
      const [there, absent] = await Promise.all(
        ["/other/a", "/other/b"].map((target) => attempt({ what: "", status: 0, target, lines })),
      );
      const bare = (answer: string) => answer.replace(/[0-9a-f]{32}/g, "ID").replace(/^Date: .*$/m, "");
      assert.equal(bare(there!), bare(absent!));
    }
  });

  test("each key still opens what it should, with schemes in either case", async () => {
    for (const scheme of ["Bearer", "bearer", "BEARER"]) {
      const headers = { Authorization: bearer(reader).replace("Bearer", scheme) };
      assert.equal((await ask(`${node.publicUrl}/docs/a`, { headers })).body.toString(), CONTENT);
    }
    for (const scheme of ["Basic", "basic"]) {
      const headers = { Authorization: basic(reader).replace("Basic", scheme) };
      assert.equal((await ask(`${node.publicUrl}/docs/a`, { headers })).status, 200);
    }
    assert.equal(
      (await ask(node.publicUrl, { target: presigned(reader, "/docs/a") })).body.toString(),
      CONTENT,
    );
  });

  test("no secret and no signature stands in the log or the metrics", async () => {
    const target = presigned(reader, "/docs/a");
    assert.equal((await ask(node.publicUrl, { target })).status, 200);
    const made = await ask(`${node.publicUrl}/_/keys`, {
      method: "POST",
      headers: AUTHORIZED,
      body: '{"id":"seen","grants":[{"actions":["read"]}]}',
    });
    const { secret } = JSON.parse(made.body.toString()) as { secret: string };
    assert.equal(
      (await ask(`${node.publicUrl}/docs/a`, { headers: { Authorization: bearer({ id: "seen", secret }) } }))
        .status,
      200,
    );
    assert.equal(
      (await ask(`${node.publicUrl}/_/keys/seen`, { method: "DELETE", headers: AUTHORIZED })).status,
      204,
    );
    await until(
      "the log has it all",
      10_000,
      () => node.lines.some((line) => line.includes('"path":"/_/keys/seen"')),
      node.lines,
    );
    const metrics = (await ask(`${node.publicUrl}/metrics`, { headers: AUTHORIZED })).body.toString();
    const text = `${node.lines.join("\n")}\n${metrics}`;
    assert.ok(text.includes("audit: refused") && text.includes("audit: administrative"), "there is an audit");
    assert.ok(text.includes("atoll_access_refused_total"), "refusals are counted");
    const signature = /atoll-signature=([0-9a-f]{64})/.exec(target)![1]!;
    for (
      const hidden of [...Object.values(KEYS).map((key) => key.secret), secret, CLUSTER_SECRET, signature]
    ) {
      assert.ok(!text.includes(hidden), "a secret was written");
      assert.ok(
        !text.includes(Buffer.from(hidden).toString("base64").slice(0, 20)),
        "a secret was written in base64",
      );
    }
    assert.ok(!/atoll-signature=[0-9a-f]/.test(text), "a signature was written");
  });
});

describe("the door of a node without keys", () => {
  let open: AtollProcess;

  before(async () => {
    open = await startNode({ runtime: HERE, dataDir: join(directory, "open") });
    for (const path of ["/docs/a", "/shared/a"]) {
      assert.equal((await put(open.publicUrl + path, CONTENT)).status, 201);
    }
    const rules = '{"cors":[{"origins":["https://shop.example"],"methods":["GET","PUT"]}]}';
    assert.equal((await put(`${open.publicUrl}/_/buckets/shared`, rules)).status, 201);
  });
  after(() => open[Symbol.asyncDispose]());

  const here = async (): Promise<string> => {
    const pages = ["/docs", "/shared", "/_/buckets"].map((path) => ask(open.publicUrl + path));
    return (await Promise.all(pages)).map(({ body }) => body.toString()).join("");
  };

  for (const one of OTHER_SITES) {
    test(`${one.what}: ${one.status}`, async () => {
      const before = await here();
      const answer = await attempt(one, open);
      assert.equal(answer.slice(0, 13), `HTTP/1.1 ${one.status} `, answer);
      assert.ok(!answer.includes(CONTENT) && !/^(etag|atoll-version):/im.test(answer), answer);
      assert.equal(await here(), before, "nothing was changed");
    });
  }

  for (const one of LET_IN) {
    test(`${one.what}: ${one.status}`, async () => {
      const answer = await attempt(one, open);
      assert.equal(answer.slice(0, 13), `HTTP/1.1 ${one.status} `, answer);
    });
  }

  test("who is refused is told what was wanted, and stands in the audit", async () => {
    const answer = await attempt({ what: "", status: 403, target: "/docs/a", host: "evil.example" }, open);
    assert.match(answer, /wanted localhost, .*ATOLL_PUBLIC_URL as Host, got \\"evil.example\\"/);
    for (const reason of ["wrong-host", "cross-site"]) {
      const told = () => open.lines.some((line) => line.includes(`"reason":"${reason}"`));
      await until(`the audit has ${reason}`, 5_000, told, open.lines);
    }
  });
});
