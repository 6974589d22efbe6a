/** kill -9 in the midst of writes: whatever was acknowledged is there afterwards, and nothing half-written is. */
import assert from "node:assert/strict";
import { createHash, randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type AtollProcess, type Runtime, startNode } from "../helpers/atoll-process.ts";
import { until, within } from "../helpers/deadline.ts";
import { ask, put, RawHttp, type Reply } from "../helpers/raw-http.ts";
import { HERE, THERE } from "../helpers/raw-start.ts";

const ROUNDS: readonly Runtime[] = [HERE, HERE, THERE, HERE];
const WRITERS = 12;
const LARGE_BYTES = 24 << 20;

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "atoll-kill-"));
});
after(() => rm(directory, { recursive: true }));

/** Bytes that only this name and number have; every fourth is large enough for a file of its own. */
function contentOf(seed: number, name: string, n: number): Buffer {
  const digest = createHash("sha256").update(`${seed} ${name} ${n}`).digest();
  return Buffer.alloc(n % 4 === 0 ? 100_000 : 1_000, digest);
}

test("a node that is killed in the midst of writes starts again with everything it acknowledged", async () => {
  const dataDir = join(directory, "data");
  /** By target: what may be there. Only acknowledged ones must be. */
  const acknowledged = new Map<string, { content: Buffer; seed: number }>();
  for (const [round, runtime] of ROUNDS.entries()) {
    const seed = randomInt(2 ** 31);
    const label = `round ${round} on ${runtime}, seed ${seed}`;
    const attempt = new Attempt(seed, acknowledged);
    {
      await using node = await startNode({ runtime, dataDir });
      await within(attempt.writeUntilKilled(node), 30_000, `${label}: killed`, node.lines);
    }
    await using node = await startNode({ runtime, dataDir });
    await attempt.check(node, label);
    for (const [target, { content, seed }] of acknowledged) {
      const { status, body } = await ask(node.publicUrl + target);
      assert.equal(status, 200, `${label}: ${target} of seed ${seed} was acknowledged`);
      assert.ok(body.equals(content), `${label}: ${target} of seed ${seed} has other bytes`);
    }
  }
});

/** The writes of one round, and what the node must know of them afterwards. */
class Attempt {
  readonly #seed: number;
  readonly #acknowledged: Map<string, { content: Buffer; seed: number }>;
  readonly #counters = new Map<number, { sent: number; acknowledged: number }>();
  readonly #unanswered = new Map<string, Buffer>();
  #count = 0;
  #killed = false;

  constructor(seed: number, acknowledged: Map<string, { content: Buffer; seed: number }>) {
    this.#seed = seed;
    this.#acknowledged = acknowledged;
  }

  async writeUntilKilled(node: AtollProcess): Promise<void> {
    const killAt = 40 + this.#seed % 160;
    const writers = Array.from({ length: WRITERS }, (_, writer) => this.#write(node, writer));
    const large = await RawHttp.open(node.publicUrl);
    large.head("PUT", this.#large, { "Content-Length": String(LARGE_BYTES) });
    large.write(Buffer.alloc(LARGE_BYTES - 1, this.#seed));
    await until(`${killAt} writes are acknowledged`, 20_000, () => this.#count >= killAt, node.lines);
    this.#killed = true;
    await node.kill("SIGKILL");
    await Promise.all(writers);
    large.cut();
  }

  get #large(): string {
    return `/kill/large-${this.#seed}`;
  }

  /** New names, and in between one name again and again. */
  async #write(node: AtollProcess, writer: number): Promise<void> {
    const counter = { sent: 0, acknowledged: 0 };
    this.#counters.set(writer, counter);
    for (let n = 1; !this.#killed; n++) {
      const target = `/kill/${this.#seed}-${writer}-${n}`;
      const content = contentOf(this.#seed, target, n);
      this.#unanswered.set(target, content);
      const reply = await this.#put(node, target, content);
      if (!reply) return;
      assert.equal(reply.status, 201);
      this.#unanswered.delete(target);
      this.#acknowledged.set(target, { content, seed: this.#seed });
      this.#count++;
      counter.sent = n;
      const counted = await this.#put(
        node,
        this.#counter(writer),
        contentOf(this.#seed, `counter ${writer}`, n),
      );
      if (!counted) return;
      counter.acknowledged = n;
      this.#count++;
    }
  }

  #counter(writer: number): string {
    return `/kill/counter-${this.#seed}-${writer}`;
  }

  /** Undefined when the node was killed meanwhile; anything else that goes wrong is an error. */
  async #put(node: AtollProcess, target: string, content: Buffer): Promise<Reply | undefined> {
    try {
      return await put(node.publicUrl + target, content);
    } catch (error) {
      if (this.#killed) return undefined;
      throw error;
    }
  }

  async check(node: AtollProcess, label: string): Promise<void> {
    assert.equal(
      (await ask(node.publicUrl + this.#large)).status,
      404,
      `${label}: a body without its last byte`,
    );
    for (const [target, content] of this.#unanswered) {
      const { status, body } = await ask(node.publicUrl + target);
      assert.ok(status === 404 || body.equals(content), `${label}: ${target} is there in part`);
    }
    for (const [writer, { sent, acknowledged }] of this.#counters) {
      const { status, body } = await ask(node.publicUrl + this.#counter(writer));
      if (acknowledged === 0 && status === 404) continue;
      const possible = Array.from({ length: sent - acknowledged + 1 }, (_, i) => acknowledged + i);
      const isOneOf = possible.some((n) => body.equals(contentOf(this.#seed, `counter ${writer}`, n)));
      assert.ok(isOneOf, `${label}: counter ${writer} wanted ${acknowledged} to ${sent}, got ${status}`);
    }
  }
}
