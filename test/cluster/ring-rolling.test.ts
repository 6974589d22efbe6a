/**
 * Five nodes restarted one after another, as at a deploy, under clients that use curl and do what its manual advises: no
 * download fails and no upload is lost. Through the nodes that stay, nothing has to be tried again at all.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { curl } from "../helpers/curl-run.ts";
import { until, within } from "../helpers/deadline.ts";
import { ask, metricOf, RawHttp } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const MIB = 1 << 20;
const SMALL_BYTES = 2_000;
const LARGE_BYTES = 2 * MIB + 17;
/** Of each client, written again and again. */
const KEYS = 4;
const RETRY = ["--retry", "5", "--retry-connrefused", "--retry-all-errors"];
const BACK_MS = 30_000;
/** A transfer goes on for that long beyond the signal. */
const SLOW_BYTES = 3 * MIB;
const SLOW_RATE = "2M";

const directory = temporaryDirectory();
let ring: AtollRing;
/** Which node is restarted or about to be. */
let restarting: number | undefined;

before(async () => {
  ring = await startRing({
    directory: directory.path,
    runtimes: [HERE, THERE, HERE, THERE, HERE],
    keepsPublicPorts: true,
  });
});
after(async () => {
  await ring[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

/** Uploads its own objects through one node, on and on, and downloads them through others. */
class Client {
  readonly acknowledged = new Map<string, Buffer>();
  /** Begun, one after another; the one under way counts. */
  begun = 0;
  readonly #name: string;
  readonly #pick: (n: number) => number;
  readonly #options: readonly string[];

  constructor(name: string, pick: (n: number) => number, options: readonly string[]) {
    this.#name = name;
    this.#pick = pick;
    this.#options = options;
  }

  async run(over: AbortSignal): Promise<void> {
    const file = join(directory.path, this.#name);
    const large = randomBytes(LARGE_BYTES);
    for (let n = 0; !over.aborted; n++) {
      const target = `/rolling/${this.#name}-${n % KEYS}`;
      const content = n % 3 === 0 ? Buffer.from(large) : randomBytes(SMALL_BYTES);
      content.write(`${this.#name} ${n} `);
      await writeFile(file, content);
      await this.#curl(this.#pick(n), target, ["-T", file], [200, 201]);
      this.acknowledged.set(target, content);
      await this.#curl(this.#pick(n + 1), target, ["-o", `${file}.got`], [200]);
      assert.ok((await readFile(`${file}.got`)).equals(content), `${target}: wanted what was uploaded last`);
    }
  }

  async #curl(
    index: number,
    target: string,
    args: readonly string[],
    wanted: readonly number[],
  ): Promise<void> {
    this.begun++;
    const url = ring.nodes[index]!.publicUrl + target;
    const { code, status, stdout, stderr } = await curl(["-f", ...this.#options, ...args, url]);
    assert.ok(
      code === 0 && wanted.includes(status),
      `${this.#name}: curl ${
        args[0]
      } ${target} at node ${index}, while ${restarting} restarts, got ${status}, ` +
        `code ${code}: ${stderr} ${stdout.toString("utf8", 0, 300)}`,
    );
  }
}

test(
  "each of five nodes is restarted under load: no failed download and no lost upload",
  async (t) => {
    const all = ring.nodes.length;
    // In turn through every node, and more often than not through the one that is away.
    const anywhere = [0, 1].map((i) => new Client(`any-${i}`, (n) => (n + i) % all, RETRY));
    const insists = new Client("insists", (n) => restarting ?? n % all, RETRY);
    const steady = [0, 1].map((i) =>
      new Client(`steady-${i}`, (n) => {
        const index = (n + i) % all;
        return index === restarting ? (index + 1) % all : index;
      }, [])
    );
    const clients = [...anywhere, insists, ...steady];
    const over = new AbortController();
    const load = Promise.all(clients.map((client) => client.run(over.signal)));
    load.catch(() => over.abort()); // looked at below
    const roll = (async () => {
      for (const index of ring.nodes.keys()) {
        if (over.signal.aborted) return;
        await restart(t, index, steady);
      }
      await until("every client got something done", BACK_MS, () => {
        return over.signal.aborted || clients.every(({ begun }) => begun >= 2 * all);
      });
    })().finally(() => over.abort());
    await Promise.all([load, roll]);
    t.diagnostic(`${clients.reduce((sum, { begun }) => sum + begun, 0)} uploads and downloads by curl`);
    for (const client of clients) {
      for (const { publicUrl } of ring.nodes) {
        for (const [target, content] of client.acknowledged) {
          const { status, body } = await ask(publicUrl + target);
          assert.ok(status === 200 && body.equals(content), `${target} at ${publicUrl}: ${status}`);
        }
      }
    }
  },
);

async function restart(t: TestContext, index: number, steady: readonly Client[]): Promise<void> {
  const node = ring.nodes[index]!;
  restarting = index;
  const counts = steady.map(({ begun }) => begun);
  await until("nobody without retries is at that node", BACK_MS, () => {
    return steady.every(({ begun }, i) => begun > counts[i]!);
  });
  const begunMs = performance.now();
  const underWay = await beginTransfers(index);
  const ended = node.kill("SIGTERM");
  await underWay();
  assert.deepEqual(
    await ended,
    { code: 0, signal: null },
    `node ${index}: ${node.lines.slice(-5).join("\n")}`,
  );
  const downMs = performance.now();
  const back = await ring.restart(index);
  for (const { publicUrl, lines } of ring.nodes) {
    const sees = async () => await metricOf(publicUrl, "atoll_peers_alive") === ring.nodes.length - 1;
    await until(`${publicUrl} sees all others`, BACK_MS, sees, lines);
  }
  const [drain, start] = [downMs - begunMs, performance.now() - downMs].map((ms) => (ms / 1000).toFixed(1));
  t.diagnostic(`node ${index} (${back.runtime}): ended after ${drain} s, back after ${start} s`);
  restarting = undefined;
}

/** One each way through the node, that take longer than the signal: what it returns resolves when both are whole. */
async function beginTransfers(index: number): Promise<() => Promise<void>> {
  const url = ring.nodes[index]!.publicUrl;
  const target = `/slow/object-${index}`;
  const content = randomBytes(SLOW_BYTES);
  const upload = await RawHttp.open(url);
  upload.head("PUT", target, {
    "Content-Length": String(SLOW_BYTES),
    "Expect": "100-continue",
    "Connection": "close",
  });
  assert.equal((await upload.reply("PUT")).status, 100);
  upload.write(content.subarray(0, SLOW_BYTES / 2));

  const source = await ask(`${url}/slow/source`, { method: "PUT", body: content });
  assert.ok(source.status === 201 || source.status === 200);
  const file = join(directory.path, `slow-${index}`);
  const download = curl(["-f", "--limit-rate", SLOW_RATE, "-o", file, `${url}/slow/source`]);
  const hasBegun = async () => (await stat(file).catch(() => undefined))?.size ?? 0;
  await until("the slow download has begun", BACK_MS, async () => await hasBegun() > 0);
  return async () => {
    const { code, stderr } = await within(download, BACK_MS, "the slow download ends");
    assert.equal(code, 0, `a download under way through node ${index}: ${stderr}`);
    assert.ok((await readFile(file)).equals(content));
    upload.write(content.subarray(SLOW_BYTES / 2));
    const { status, body } = await upload.reply("PUT", BACK_MS);
    upload.cut();
    assert.equal(status, 201, `an upload under way through node ${index}: ${body.toString()}`);
    const other = ring.nodes[(index + 1) % ring.nodes.length]!;
    const read = await ask(other.publicUrl + target).catch((cause: unknown) => {
      const lines = other.lines.filter((line) => !line.includes('"status":20'));
      throw new Error(`GET ${target} at ${other.publicUrl}\n${lines.slice(-20).join("\n")}`, { cause });
    });
    assert.ok(read.body.equals(content), `GET ${target} at ${other.publicUrl}: ${read.status}`);
  };
}
