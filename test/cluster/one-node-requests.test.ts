/** Requests that no well-behaved client sends, and those that merely look strange. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { until } from "../helpers/deadline.ts";
import { ask, codeOf, put, RawHttp, type Reply } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";

let directory: string;
let node: AtollProcess;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-requests-"));
  node = await startNode({ runtime: HERE, dataDir: join(directory, "data") });
});
after(async () => {
  await node[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const HOST = "Host: localhost\r\n";
const put5 = (more: string) => `PUT /abc/smuggled HTTP/1.1\r\n${HOST}${more}\r\n`;
/** What must never be taken for a request of its own. */
const SMUGGLED = `PUT /abc/inner HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\nhi`;

const refused: readonly (readonly [what: string, text: string, status: number, code: string])[] = [
  ["garbage bytes", "\x80\xff\x00\x01\xfe{}\r\n\r\n", 400, "invalid-argument"],
  ["a TLS greeting", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "invalid-argument"],
  ["HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405, "method-not-allowed"],
  ["no Host", "GET /abc/k HTTP/1.1\r\n\r\n", 400, "invalid-argument"],
  ["two Hosts", `GET /abc/k HTTP/1.1\r\n${HOST}${HOST}\r\n`, 400, "invalid-argument"],
  ["a header without a colon", `GET /abc/k HTTP/1.1\r\n${HOST}broken\r\n\r\n`, 400, "invalid-argument"],
  ["a space before a colon", put5("Content-Length : 5\r\n") + "hello", 400, "invalid-argument"],
  ["NUL in a header", `GET /abc/k HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n`, 400, "invalid-argument"],
  ["a header over lines", `GET /abc/k HTTP/1.1\r\n${HOST}X: a\r\n b: c\r\n\r\n`, 400, "invalid-argument"],
  [
    "headers above the limit",
    `GET /abc/k HTTP/1.1\r\n${HOST}X: ${"x".repeat(40_000)}\r\n\r\n`,
    431,
    "headers-too-large",
  ],
  [
    "a target above the limit",
    `GET /abc/${"k".repeat(40_000)} HTTP/1.1\r\n${HOST}\r\n`,
    431,
    "headers-too-large",
  ],
  ["FOO", `FOO /abc/k HTTP/1.1\r\n${HOST}\r\n`, 405, "method-not-allowed"],
  ["a negative length", put5("Content-Length: -1\r\n") + "hello", 400, "invalid-argument"],
  ["a length that is no number", put5("Content-Length: 5x\r\n") + "hello", 400, "invalid-argument"],
  ["two lengths", put5("Content-Length: 5\r\nContent-Length: 6\r\n") + "hello!", 400, "invalid-argument"],
  ["a list of lengths", put5("Content-Length: 5, 6\r\n") + "hello!", 400, "invalid-argument"],
  [
    "a length and chunks",
    put5("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + `0\r\n\r\n${SMUGGLED}`,
    400,
    "invalid-argument",
  ],
  [
    "chunks and a length",
    put5(`Transfer-Encoding: chunked\r\nContent-Length: ${5 + SMUGGLED.length}\r\n`) + `0\r\n\r\n${SMUGGLED}`,
    400,
    "invalid-argument",
  ],
  [
    "chunked that is not last",
    put5("Transfer-Encoding: chunked, identity\r\n") + "0\r\n\r\n",
    400,
    "invalid-argument",
  ],
  [
    "an encoding beside chunks",
    put5("Transfer-Encoding: gzip, chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n",
    400,
    "invalid-argument",
  ],
  ["an encoding of nobody's", put5("Transfer-Encoding: xchunked\r\n") + "0\r\n\r\n", 400, "invalid-argument"],
  [
    "a chunk size that is no number",
    put5("Transfer-Encoding: chunked\r\n") + "zz\r\nhi\r\n0\r\n\r\n",
    400,
    "invalid-argument",
  ],
  [
    "a chunk longer than it says",
    put5("Transfer-Encoding: chunked\r\n") + `2\r\nhello\r\n0\r\n\r\n${SMUGGLED}`,
    400,
    "invalid-argument",
  ],
];

for (const [what, text, status, code] of refused) {
  test(`${what}: ${status} ${code}, once, and the connection ends`, async () => {
    const connection = await RawHttp.open(node.publicUrl);
    connection.write(text);
    const reply = await connection.reply();
    assert.equal(reply.status, status, reply.body.toString());
    assert.match(reply.headers["x-request-id"] ?? "", /^[A-Za-z0-9._:/+=@-]{1,128}$/);
    if (status === 405) assert.match(reply.headers["allow"] ?? "", /\bPUT\b/);
    assert.equal(codeOf(reply), code);
    assert.equal((await connection.closed()).length, 0, "one answer and no more");
    for (const key of ["smuggled", "inner"]) {
      assert.equal((await ask(`${node.publicUrl}/abc/${key}`)).status, 404, key);
    }
  });
}

test("methods that the path does not have are 405 with Allow, and the connection goes on", async () => {
  const connection = await RawHttp.open(node.publicUrl);
  for (
    const [method, target] of [["POST", "/abc/k"], ["PATCH", "/abc/k"], ["PROPFIND", "/"], ["PUT", "/livez"]]
  ) {
    connection.head(method!, target!, { "Content-Length": "0" });
    const reply = await connection.reply(method);
    assert.deepEqual([reply.status, codeOf(reply)], [405, "method-not-allowed"], `${method} ${target}`);
    assert.match(reply.headers["allow"] ?? "", /GET, HEAD/);
  }
  connection.cut();
});

/** As sent, and as the key is afterwards. */
const KEYS: readonly (readonly [target: string, key: string])[] = [
  ["a/../b", "a/../b"],
  ["..", ".."],
  ["%2e%2e/x", "../x"],
  ["a//b", "a//b"],
  ["/lead", "/lead"],
  ["dir/", "dir/"],
  [".", "."],
  ["with%20space", "with space"],
  ["with+plus", "with+plus"],
  ["%F0%9F%98%80", "😀"],
  ["a%00b", "a\0b"],
  ["%252e", "%2e"],
  ["a%2Fb", "a/b"],
  ["tab%09%0d%0anewline", "tab\t\r\nnewline"],
  ["what%3Fnow", "what?now"],
  ["back%5Cslash", "back\\slash"],
];

test("keys are what was sent, decoded once, and nothing else is done to them", async () => {
  for (const [target, key] of KEYS) {
    assert.equal((await put(node.publicUrl, `of ${key}`, { target: `/keys/${target}` })).status, 201, target);
  }
  for (const [target, key] of KEYS) {
    const got = await ask(node.publicUrl, { target: `/keys/${target}` });
    assert.equal(got.body.toString(), `of ${key}`, target);
    const spelt = await ask(node.publicUrl, { target: `/keys/${encodeURIComponent(key)}` });
    assert.equal(spelt.body.toString(), `of ${key}`, `${target} spelt otherwise`);
  }
  const listed = JSON.parse((await ask(`${node.publicUrl}/keys`)).body.toString()) as {
    objects: { key: string }[];
  };
  const wanted = KEYS.map(([, key]) => key).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.deepEqual(listed.objects.map(({ key }) => key), wanted);
});

test("keys that are none are 400 invalid-key, whoever asks for what", async () => {
  for (const target of ["/keys/%", "/keys/%zz", "/keys/%ff", "/keys/%c0%ae", `/keys/${"k".repeat(1_025)}`]) {
    for (const method of ["GET", "PUT", "DELETE"]) {
      const reply = await ask(node.publicUrl, { method, target, ...(method === "PUT" && { body: "x" }) });
      assert.deepEqual([reply.status, codeOf(reply)], [400, "invalid-key"], `${method} ${target}`);
    }
  }
});

test("HEAD is GET without the body, on a connection that goes on", async () => {
  await put(`${node.publicUrl}/abc/head`, "content");
  const connection = await RawHttp.open(node.publicUrl);
  connection.head("HEAD", "/abc/head");
  const head = await connection.reply("HEAD");
  connection.head("GET", "/abc/head");
  const got = await connection.reply("GET");
  assert.equal(got.body.toString(), "content");
  for (
    const name of ["etag", "atoll-version", "content-length", "content-type", "repr-digest", "last-modified"]
  ) {
    assert.equal(head.headers[name], got.headers[name], name);
  }
  connection.head("HEAD", "/abc/absent");
  assert.equal((await connection.reply("HEAD")).status, 404);
  connection.head("GET", "/abc/head");
  assert.equal((await connection.reply("GET")).body.toString(), "content");
  connection.cut();
});

test("a connection goes on after every error that leaves it whole, and answers pipelined requests in order", async () => {
  const connection = await RawHttp.open(node.publicUrl);
  const exchange = async (
    method: string,
    target: string,
    headers: Record<string, string> = {},
    body = "",
  ) => {
    connection.head(method, target, { "Content-Length": String(body.length), ...headers });
    connection.write(body);
    return (await connection.reply(method)).status;
  };
  assert.equal(await exchange("PUT", "/abc/alive", {}, "1"), 201);
  assert.equal(await exchange("PUT", "/abc/alive", { "If-None-Match": "*" }, "2".repeat(200_000)), 412);
  assert.equal(await exchange("PUT", "/abc/alive", { "Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA==" }, "3"), 400);
  assert.equal(
    await exchange("PUT", "/abc/alive", { "Content-Range": "bytes 0-0/2" }, "4".repeat(200_000)),
    400,
  );
  assert.equal(await exchange("PUT", "/A/alive", {}, "5".repeat(200_000)), 400);
  assert.equal(await exchange("GET", "/abc/absent"), 404);
  assert.equal(await exchange("GET", "/abc/alive", { Range: "bytes=9-" }), 416);
  for (const target of ["/abc/alive", "/abc/absent", "/livez"]) connection.head("GET", target);
  const replies: Reply[] = [];
  for (let i = 0; i < 3; i++) replies.push(await connection.reply());
  assert.deepEqual(replies.map(({ status }) => status), [200, 404, 200]);
  assert.equal(replies[0]!.body.toString(), "1");
  connection.cut();
});

test("X-Request-Id is the client's where it is well-formed, and in any case new for each request", async () => {
  const asked = async (id?: string) =>
    (await ask(`${node.publicUrl}/abc/absent`, {
      ...(id !== undefined && { headers: { "X-Request-Id": id } }),
    }))
      .headers["x-request-id"]!;
  assert.equal(await asked("mine-1/2"), "mine-1/2");
  const others = [await asked(), await asked(), await asked('no "quotes"'), await asked("x".repeat(129))];
  assert.equal(new Set(others).size, 4);
  for (const id of others) assert.match(id, /^[0-9a-f]{16,}$/);
});

test("each request leaves one line of JSON on standard output, whatever stands in it", async () => {
  const id = `line-${randomBytes(4).toString("hex")}`;
  const headers = { "X-Request-Id": id };
  const stored = await put(node.publicUrl, "12345", { target: '/abc/"quoted"', headers });
  assert.equal(stored.status, 201, stored.body.toString());
  await ask(`${node.publicUrl}/abc/absent`, { headers });
  await ask(node.publicUrl, { target: "/NO/", headers });
  const entries = () =>
    node.lines.filter((line) => line.includes(id)).map((line) => JSON.parse(line) as Record<string, unknown>);
  await until("three lines are there", 5_000, () => entries().length >= 3, node.lines);
  const told = entries().map(({ method, path, status, code, bytesIn }) => ({
    method,
    path,
    status,
    code,
    bytesIn,
  }));
  assert.deepEqual(told, [
    { method: "PUT", path: '/abc/"quoted"', status: 201, code: undefined, bytesIn: 5 },
    { method: "GET", path: "/abc/absent", status: 404, code: "not-found", bytesIn: 0 },
    { method: "GET", path: "/NO/", status: 400, code: "invalid-bucket", bytesIn: 0 },
  ]);
});

test("what was refused before it was a request leaves a line too, under the ID that was answered", async () => {
  const connection = await RawHttp.open(node.publicUrl);
  connection.write(`FOO / HTTP/1.1\r\n${HOST}\r\n`);
  const id = (await connection.reply()).headers["x-request-id"]!;
  await connection.closed();
  await until(`a line with ${id}`, 2_000, () => node.lines.some((line) => line.includes(id)), node.lines);
});
