/** Transfers that go wrong: cut, stalled, wrong; and going on with them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setImmediate as turnOfEvents } from "node:timers/promises";
import { type AtollProcess, startNode } from "../helpers/atoll-process.ts";
import { command } from "../helpers/command-line.ts";
import { ask, put as store } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";
import { startScriptedServer } from "../helpers/scripted-server.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const MIB = 1 << 20;

const directory = temporaryDirectory();
const content = randomBytes(3 * MIB + 11);
const hex = createHash("sha256").update(content).digest("hex");
const mountPoint = join(directory.path, "small");
const notMounted = mountSmallDisk();
let node: AtollProcess;

/** Why there is no small disk, if there is none. */
function mountSmallDisk(): string | undefined {
  mkdirSync(mountPoint);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "atoll-test", mountPoint], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `mounting a tmpfs needs root: ${error instanceof Error ? error.message.trim() : String(error)}`;
  }
}

before(async () => {
  node = await startNode({
    runtime: HERE,
    dataDir: join(directory.path, "data"),
    env: { ATOLL_MAX_OBJECT_BYTES: "4MiB" },
  });
  assert.equal((await store(`${node.publicUrl}/kept/big`, content)).status, 201);
});
after(async () => {
  await node[Symbol.asyncDispose]();
  if (notMounted === undefined) execFileSync("umount", [mountPoint]);
  directory[Symbol.dispose]();
});

async function partsOf(name: string): Promise<string[]> {
  return (await readdir(directory.path)).filter((entry) => entry.startsWith(`${name}.`));
}

function partName(name: string, sha256 = hex): string {
  return join(directory.path, `${name}.${sha256}-0123abcd.atoll-part`);
}

const at = (url: string) => ({ env: { ATOLL_URL: url } });
const file = (name: string) => join(directory.path, name);
const headOf = (status: string, fields: Record<string, string | number>) =>
  `HTTP/1.1 ${status}\r\nConnection: close\r\n${
    Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join("")
  }\r\n`;

test("a download that is cut keeps its part and no file, and --continue makes it whole", async () => {
  await using cutting = await startScriptedServer(({ socket }) => {
    socket.write(headOf("200 OK", { "ETag": `"${hex}"`, "Content-Length": content.length }));
    socket.write(content.subarray(0, 2 * MIB), () => socket.end());
  });
  const cut = await command(["get", "kept/big", file("cut")], at(cutting.url));
  assert.equal(cut.code, 5, cut.stderr);
  assert.match(cut.stderr, /MiB are kept in .+\.atoll-part: "atoll get --continue" goes on/);
  assert.match(cut.stderr, /kept\/big: .+ before the answer was whole \(cut\)\n$/);
  await assert.rejects(stat(file("cut")));
  const [part] = await partsOf("cut");
  assert.match(part!, new RegExp(`^cut\\.${hex}-`));

  const whole = await command(["get", "--continue", "kept/big", file("cut"), "--json"], at(node.publicUrl));
  assert.equal(whole.code, 0, whole.stderr);
  const resumedBytes = whole.documents()[0]!["resumedBytes"] as number;
  assert.ok(resumedBytes > MIB && resumedBytes <= 2 * MIB, `${resumedBytes}`);
  assert.ok((await readFile(file("cut"))).equals(content));
  assert.deepEqual(await partsOf("cut"), []);
});

test("--continue asks for the rest of that content and no other", async () => {
  await using server = await startScriptedServer(({ socket }) => {
    socket.end(
      headOf("206 Partial Content", {
        "ETag": `"${hex}"`,
        "Content-Range": `bytes 5-${content.length - 1}/${content.length}`,
        "Content-Length": content.length - 5,
      }) + content.subarray(5).toString("latin1"),
      "latin1",
    );
  });
  await writeFile(partName("asks"), content.subarray(0, 5));
  const { code, stderr } = await command(["get", "-c", "kept/big", file("asks")], at(server.url));
  assert.equal(code, 0, stderr);
  assert.match(server.heads[0]!, /^range: bytes=5-$/im);
  assert.match(server.heads[0]!, new RegExp(`^if-match: "${hex}"$`, "im"));
});

test("a part that lacks nothing but its name gets it; the largest of several is taken", async () => {
  await writeFile(partName("named"), content);
  await writeFile(partName("named").replace("0123abcd", "ffffffff"), content.subarray(0, 100));
  const { code, stdout, stderr } = await command(
    ["get", "-c", "kept/big", file("named")],
    at(node.publicUrl),
  );
  assert.equal(code, 0, stderr);
  assert.match(stdout.toString(), /3\.0 MiB of it from before/);
  assert.ok((await readFile(file("named"))).equals(content));
});

test("a part of what the object no longer is is given up, and nothing there is no part", async () => {
  const old = createHash("sha256").update("old").digest("hex");
  await writeFile(partName("changed", old), "ol");
  const changed = await command(["get", "-c", "kept/big", file("changed")], at(node.publicUrl));
  assert.equal(changed.code, 0, changed.stderr);
  assert.match(changed.stderr, /kept\/big has changed since the part was fetched: from the beginning/);
  assert.ok((await readFile(file("changed"))).equals(content));
  assert.deepEqual(await partsOf("changed"), []);
  const fresh = await command(["get", "-c", "kept/big", file("fresh")], at(node.publicUrl));
  assert.equal(fresh.code, 0, fresh.stderr);
  const nowhere = await command(["get", "-c", "kept/big", "-"], at(node.publicUrl));
  assert.equal(nowhere.code, 2);
});

test("a part with a wrong byte is found out and given up", async () => {
  const wrong = Buffer.from(content.subarray(0, MIB));
  wrong[1_000]! ^= 1;
  await writeFile(partName("damaged"), wrong);
  const found = await command(["get", "-c", "kept/big", file("damaged")], at(node.publicUrl));
  assert.equal(found.code, 1);
  assert.match(found.stderr, /wanted the SHA-256 .+\(digest-mismatch\)/);
  assert.deepEqual(await partsOf("damaged"), []);
  await assert.rejects(stat(file("damaged")));
  assert.equal((await command(["get", "-c", "kept/big", file("damaged")], at(node.publicUrl))).code, 0);
});

test("content that is not what its ETag says never gets the file's name", async () => {
  await writeFile(file("mine"), "mine");
  await using lying = await startScriptedServer(({ socket }) => {
    socket.end(`${headOf("200 OK", { "ETag": `"${hex}"`, "Content-Length": 4 })}evil`);
  });
  const { code, stderr } = await command(["get", "kept/big", file("mine")], at(lying.url));
  assert.equal(code, 1);
  assert.match(stderr, /\(digest-mismatch\)/);
  assert.equal(await readFile(file("mine"), "utf8"), "mine");
  assert.deepEqual(await partsOf("mine"), []);
  const streamed = await command(["get", "kept/big", "-"], at(lying.url));
  assert.equal(streamed.code, 1);
  assert.match(streamed.stderr, /what was written is wrong \(digest-mismatch\)/);
});

test("an upload that was stored as something else fails loudly", async () => {
  await writeFile(file("sent"), "sent");
  await using lying = await startScriptedServer(async ({ socket, body }) => {
    await body(4);
    socket.end(headOf("201 Created", { "ETag": `"${hex}"`, "Atoll-Version": 1, "Content-Length": 0 }));
  });
  const { code, stderr } = await command(["put", file("sent"), "kept/other"], at(lying.url));
  assert.equal(code, 1);
  assert.match(stderr, /what is there is not what was sent \(digest-mismatch\)/);
  assert.match(lying.heads[0]!, /^repr-digest: sha-256=:.{44}:$/im);
});

test("an upload that is cut was not stored; one whose answer is lost may have been", async () => {
  await writeFile(file("upload"), content);
  await using cutting = await startScriptedServer(async ({ socket, body }) => {
    await body(MIB);
    socket.destroy();
  });
  // More than a connection's buffers hold.
  const endless = (async function* () {
    for (let i = 0; i < 1_000; i++) {
      yield randomBytes(65_536);
      await turnOfEvents();
    }
  })();
  const cut = await command(["put", "-", "kept/cut"], { ...at(cutting.url), input: endless });
  assert.equal(cut.code, 5, cut.stderr);
  assert.match(cut.stderr, /kept\/cut: .+ bytes were sent: nothing was stored \(cut\)/);
  await using silent = await startScriptedServer(async ({ socket, body }) => {
    await body(content.length);
    socket.destroy();
  });
  const lost = await command(["put", file("upload"), "kept/lost"], at(silent.url));
  assert.equal(lost.code, 6, lost.stderr);
  assert.match(lost.stderr, /whether it was done is unknown.+\(outcome-unknown\)/);
});

test("a node that moves no byte is given up after --timeout", async () => {
  await using mute = await startScriptedServer(() => undefined);
  const read = await command(["get", "kept/big", file("mute"), "--timeout", "0.2"], at(mute.url));
  assert.equal(read.code, 5, read.stderr);
  assert.match(read.stderr, /waited 0\.2 s and the node moved no byte .+\(stalled\)/);
  const removed = await command(["rm", "kept/big", "--timeout=0.2"], at(mute.url));
  assert.equal(removed.code, 6, removed.stderr);
  await using half = await startScriptedServer(({ socket }) => {
    socket.write(headOf("200 OK", { "ETag": `"${hex}"`, "Content-Length": 100 }) + "half");
  });
  const begun = await command(["get", "kept/big", file("half"), "--timeout=0.2"], at(half.url));
  assert.equal(begun.code, 5);
  assert.match(begun.stderr, /4 B are kept[^]+\(stalled\)/);
});

test("what is no node is named", async () => {
  await using garbage = await startScriptedServer(({ socket }) => void socket.end("SSH-2.0-OpenSSH_9.6\r\n"));
  const ssh = await command(["ls"], at(garbage.url));
  assert.equal(ssh.code, 1, ssh.stderr);
  assert.match(ssh.stderr, /is not Atoll as known here: no HTTP: .+\(not-atoll\)/);
  await using other = await startScriptedServer(({ socket }) =>
    void socket.end(`${headOf("404 Not Found", { "Content-Type": "text/html", "Content-Length": 3 })}<p>`)
  );
  const proxy = await command(["get", "kept/big", file("other")], at(other.url));
  assert.equal(proxy.code, 1, "a proxy's 404 is not the object's");
  assert.match(proxy.stderr, /got 404 with text\/html \(http-404\)/);
  await using plain = await startScriptedServer(({ socket }) =>
    void socket.end(`${headOf("200 OK", { "Content-Length": 2 })}ok`)
  );
  assert.match((await command(["get", "kept/big", file("other")], at(plain.url))).stderr, /wanted an ETag/);
  assert.match((await command(["ls"], at(plain.url))).stderr, /GET \/\?limit=1000: .+\(not-atoll\)/);
});

test("what a node refuses before the body's end is its refusal, not a broken connection", async () => {
  await writeFile(file("large"), randomBytes(40 * MIB));
  const known = await command(["put", file("large"), "kept/large"], at(node.publicUrl));
  assert.equal(known.code, 1, known.stderr);
  assert.match(known.stderr, /kept\/large: .+\(too-large\)/);
  const endless = (async function* () {
    for (let i = 0; i < 640; i++) {
      yield randomBytes(65_536);
      await turnOfEvents(); // as a pipe does: or the answer would not be read before all is sent
    }
  })();
  const unknown = await command(["put", "-", "kept/large"], { ...at(node.publicUrl), input: endless });
  assert.equal(unknown.code, 1, unknown.stderr);
  assert.match(unknown.stderr, /kept\/large: .+\(too-large\)/);
  assert.equal((await ask(`${node.publicUrl}/kept/large`)).status, 404);
});

test("on a terminal a bar says how far it is, and goes; elsewhere short transfers are one line", async () => {
  await using slow = await startScriptedServer(async ({ socket }) => {
    socket.write(
      headOf("200 OK", { "ETag": `"${hex}"`, "Atoll-Version": 3, "Content-Length": content.length }),
    );
    socket.write(content.subarray(0, MIB));
    await new Promise((resolve) => setTimeout(resolve, 500)); // a bar is drawn ten times a second
    socket.end(content.subarray(MIB));
  });
  const bars = await command(["get", "kept/big", file("slow")], { ...at(slow.url), terminal: [] });
  assert.equal(bars.code, 0, bars.stderr);
  assert.match(bars.stderr, /slow {2}\[=======> {16}\] 33 % {2}1\.0 MiB of 3\.0 MiB/);
  assert.match(bars.stdout.toString(), /^kept\/big -> .+slow {2}3\.0 MiB in .+ {2}version 3\n$/);
  for (const quiet of [[], ["--quiet"], ["--json"]]) {
    const lines = await command(["get", "kept/big", file("slow"), ...quiet], at(slow.url));
    assert.equal(lines.stderr, "");
    assert.equal(lines.stdout.toString().split("\n").length, 2);
  }
});

test(
  "a full disk is said, and the part goes on when there is room",
  { skip: notMounted ?? false },
  async () => {
    const target = join(mountPoint, "big");
    const full = await command(["get", "kept/big", target], at(node.publicUrl));
    assert.equal(full.code, 1);
    assert.match(full.stderr, /cannot write .+: the disk is full\n$/);
    await assert.rejects(stat(target));
    execFileSync("mount", ["-o", "remount,size=16m", mountPoint]);
    const again = await command(["get", "-c", "kept/big", target], at(node.publicUrl));
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stdout.toString(), /of it from before/);
    assert.ok((await readFile(target)).equals(content));
    await rm(target);
  },
);
