/** TLS at a real node: HTTP/1.1 and HTTP/2 by ALPN, certificates renewed while it runs, transfers that are cut. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { type CertificateFilesMade, makeCertificate } from "../helpers/certificates.ts";
import { basic, bearer, KEYS } from "../helpers/credentials.ts";
import { curl, type CurlOutcome } from "../helpers/curl-run.ts";
import { until, within } from "../helpers/deadline.ts";
import { RawHttp } from "../helpers/raw-http.ts";
import { HERE, runAtoll } from "../helpers/raw-start.ts";

const { admin, reader } = KEYS;
const AUTHORIZED = { Authorization: bearer(admin) };
const CONTENT = randomBytes(5_000_000);

let directory: string;
let first: CertificateFilesMade;
let second: CertificateFilesMade;
let used: CertificateFilesMade;
let node: AtollProcess;

const start = (dataDir: string): Promise<AtollProcess> =>
  startNode({
    runtime: HERE,
    dataDir: join(directory, dataDir),
    until: "listening", // whoever asks whether it is ready must know its certificate
    env: {
      ATOLL_KEYS: JSON.stringify(Object.values(KEYS)),
      ATOLL_TLS_CERT: used.certFile,
      ATOLL_TLS_KEY: used.keyFile,
      ATOLL_METRICS: "open",
    },
  });
/** With the certificates that may be in use, and no others. */
const ask = (...args: string[]): Promise<CurlOutcome> =>
  curl(["--cacert", join(directory, "both.pem"), ...args]);
const login = `${admin.id}:${admin.secret}`;
const activeRequests = async (url: string): Promise<number> => {
  const { stdout } = await ask(`${url}/metrics`);
  return Number(/^http_server_active_requests (\d+)$/m.exec(stdout.toString())?.[1]);
};

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-tls-"));
  [first, second] = await Promise.all([
    makeCertificate(directory, "first.test"),
    makeCertificate(directory, "second.test"),
  ]);
  const both = await Promise.all([first, second].map(({ certFile }) => readFile(certFile, "utf8")));
  await writeFile(join(directory, "both.pem"), both.join(""));
  used = { certFile: join(directory, "used.pem"), keyFile: join(directory, "used.key") };
  await use(first);
  node = await start("data");
  assert.match(node.publicUrl, /^https:/);
  const isReady = async () => (await ask(`${node.publicUrl}/readyz`)).status === 200;
  await until("the node is ready", 10_000, isReady, node.lines);
  await writeFile(join(directory, "content"), CONTENT);
  const stored = await ask("-u", login, "-T", join(directory, "content"), `${node.publicUrl}/docs/content`);
  assert.equal(stored.status, 201, stored.stderr);
});
after(async () => {
  await node[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function use({ certFile, keyFile }: CertificateFilesMade): Promise<void> {
  for (const [from, to] of [[keyFile, used.keyFile], [certFile, used.certFile]] as const) {
    await copyFile(from, `${to}.new`);
    await rename(`${to}.new`, to);
  }
}

for (const [version, flag] of [["1.1", "--http1.1"], ["2", "--http2"]] as const) {
  test(`HTTP/${version}, asked for by ${flag}, stores and reads over TLS, and asks for credentials`, async () => {
    const url = `${node.publicUrl}/docs/by-${flag}`;
    const stored = await ask(flag, "-u", login, "-T", join(directory, "content"), url);
    assert.equal(stored.status, 201, stored.stderr);
    const read = await ask(
      flag,
      "-u",
      `${reader.id}:${reader.secret}`,
      "-w",
      "%{stderr}\n%{http_version}\n%{http_code} 0",
      url,
    );
    assert.ok(read.stdout.equals(CONTENT));
    assert.match(read.stderr, new RegExp(`${version.replace(".", "\\.")}$`));
    const range = await ask(flag, "-u", login, "-r", "1000000-2000000", url);
    assert.ok(range.status === 206 && range.stdout.equals(CONTENT.subarray(1_000_000, 2_000_001)));
    assert.equal((await ask(flag, "-u", login, "-I", url)).status, 200);
    assert.equal((await ask(flag, url)).status, 401);
    assert.equal(
      (await ask(flag, "-u", `${reader.id}:${reader.secret}`, "-T", join(directory, "content"), url)).status,
      403,
    );
    assert.equal((await ask(flag, "-u", login, "-X", "DELETE", url)).status, 204);
    assert.equal((await ask(flag, "-u", login, url)).status, 404);
  });
}

test("who speaks without TLS, or an old one, gets nothing, and the node goes on", async () => {
  const plain = await ask(node.publicUrl.replace("https:", "http:"));
  assert.equal(plain.status, 0);
  const old = await ask("--tls-max", "1.1", `${node.publicUrl}/livez`);
  assert.deepEqual([old.status, old.code], [0, 35], "a handshake that fails");
  assert.equal((await ask(`${node.publicUrl}/livez`)).status, 200);
});

test("two Authorization headers are refused over HTTP/2 as they are over HTTP/1.1", async () => {
  const url = `${node.publicUrl}/docs/content`;
  for (const flag of ["--http1.1", "--http2"]) {
    const header = (value: string) => ["-H", `Authorization: ${value}`];
    assert.equal((await ask(flag, ...header(bearer(admin)), ...header(basic(admin)), url)).status, 400, flag);
    assert.equal((await ask(flag, ...header(bearer(reader)), url)).status, 200, flag);
  }
});

test("an upload that is cut stores nothing, and a reader that goes away is let go", async () => {
  const { publicUrl } = node;
  const upload = await RawHttp.open(publicUrl);
  upload.head("PUT", "/docs/cut", { ...AUTHORIZED, "Transfer-Encoding": "chunked" });
  upload.write("8\r\n01234567\r\n");
  await until("it is under way", 10_000, async () => await activeRequests(publicUrl) === 2);
  upload.cut();
  const download = await RawHttp.open(publicUrl);
  download.head("GET", "/docs/content", AUTHORIZED);
  await download.begun();
  download.cut();
  await until("none is under way", 10_000, async () => await activeRequests(publicUrl) === 1);
  assert.equal((await ask("-u", login, `${publicUrl}/docs/cut`)).status, 404);
});

test(
  "they are over HTTP/2, too, where a connection ends with both under way",
  async () => {
    const { publicUrl } = node;
    const session = connectHttp2(publicUrl, { rejectUnauthorized: false });
    session.on("error", () => undefined);
    const upload = session.request({ ":method": "PUT", ":path": "/docs/cut", authorization: bearer(admin) });
    upload.on("error", () => undefined);
    upload.write(CONTENT.subarray(0, 3_000_000));
    const download = session.request({ ":path": "/docs/content", authorization: bearer(admin) });
    download.on("error", () => undefined);
    await within(new Promise((resolve) => download.once("response", resolve)), 10_000, "an answer begins");
    // Nobody reads it: what is left waits for the window, which never opens.
    await until("both are under way", 10_000, async () => await activeRequests(publicUrl) === 3);
    session.destroy();
    await until("none is under way", 10_000, async () => await activeRequests(publicUrl) === 1);
    assert.equal((await ask("-u", login, `${publicUrl}/docs/cut`)).status, 404);
  },
);

test("a new certificate is used from then on, and one that cannot be used is told of", async () => {
  const nameOf = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const { hostname: host, port } = new URL(node.publicUrl);
      const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.once("error", reject);
    });
  assert.equal(await nameOf(), "first.test");
  const before = await RawHttp.open(node.publicUrl);
  await use(second);
  await until("the second is used", 20_000, async () => await nameOf() === "second.test", node.lines);
  before.head("GET", "/livez");
  assert.equal((await before.reply()).status, 200, "connections go on");
  before.cut();
  assert.equal((await ask(`${node.publicUrl}/livez`)).status, 200);
  await writeFile(used.certFile, "no certificate");
  const isTold = () => node.lines.some((line) => line.includes("a new certificate cannot be used"));
  await until("that is told of", 20_000, isTold, node.lines);
  assert.equal(await nameOf(), "second.test");
  await use(first);
  await until("the first is used again", 20_000, async () => await nameOf() === "first.test", node.lines);
});

for (const version of ["HTTP/1.1", "HTTP/2"]) {
  test(`a node that is told to end lets a transfer over ${version} come to its end`, async () => {
    await use(first);
    await using ending = await start(version.replace("/", "-"));
    const { publicUrl } = ending;
    await until("it is ready", 10_000, async () => (await ask(`${publicUrl}/readyz`)).status === 200);
    const stored = await ask("-u", login, "-T", join(directory, "content"), `${publicUrl}/docs/content`);
    assert.equal(stored.status, 201);
    // Most of it cannot be sent before somebody reads.
    const download = version === "HTTP/2" ? await paused2(publicUrl) : await paused1(publicUrl);
    const ended = ending.kill("SIGTERM");
    const isDraining = () => ending.lines.some((line) => line.includes('"draining"'));
    await until("it was told to end", 10_000, isDraining, ending.lines);
    assert.ok((await download.rest()).equals(CONTENT));
    assert.equal((await ended).code, 0);
  });
}

interface Paused {
  rest(): Promise<Buffer>;
}

async function paused1(url: string): Promise<Paused> {
  const connection = await RawHttp.open(url);
  connection.head("GET", "/docs/content", AUTHORIZED);
  await connection.begun();
  connection.pause();
  return {
    rest: async () => {
      connection.resume();
      return (await connection.reply()).body;
    },
  };
}

async function paused2(url: string): Promise<Paused> {
  const session = connectHttp2(url, { rejectUnauthorized: false });
  session.on("error", () => undefined);
  const stream = session.request({ ":path": "/docs/content", authorization: bearer(admin) });
  await within(new Promise((resolve) => stream.once("response", resolve)), 10_000, "an answer begins");
  return {
    rest: async () => {
      const parts: Buffer[] = [];
      for await (const part of stream) parts.push(part as Buffer);
      session.destroy();
      return Buffer.concat(parts);
    },
  };
}

test("files that cannot be used are said at the start", async () => {
  const env = { PORT: "0", ATOLL_PEER_PORT: "0", ATOLL_DATA_DIR: join(directory, "none") };
  const cases: readonly (readonly [env: Record<string, string>, says: RegExp])[] = [
    [{ ATOLL_TLS_CERT: first.certFile }, /ATOLL_TLS_KEY: wanted a file, as ATOLL_TLS_CERT is set/],
    [{ ATOLL_TLS_KEY: first.keyFile }, /ATOLL_TLS_CERT: wanted a file/],
    [
      { ATOLL_TLS_CERT: first.certFile, ATOLL_TLS_KEY: second.keyFile },
      /wanted in \S+ the key of the certificate/,
    ],
    [{ ATOLL_TLS_CERT: first.keyFile, ATOLL_TLS_KEY: first.keyFile }, /wanted PEM in \S+first\.test\.key/],
    [{ ATOLL_TLS_CERT: join(directory, "none.pem"), ATOLL_TLS_KEY: first.keyFile }, /ENOENT|no such file/i],
  ];
  for (const [settings, says] of cases) {
    const { code, stderr } = await runAtoll(HERE, { ...env, ...settings });
    assert.match(stderr, says);
    assert.equal(code, 1);
  }
});
