/** The ring's layout in a real etcd: shown by whoever goes by it, never older over newer, never over another ring's. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { createClock } from "../../src/adapters/clock.ts";
import { EtcdDocuments } from "../../src/adapters/etcd-documents.ts";
import { createEtcdLayoutBoard, type EtcdLayoutBoardOptions } from "../../src/adapters/etcd-layout-board.ts";
import { anyAnswer, encoded } from "../../src/adapters/etcd-messages.ts";
import { changedLayout } from "../../src/core/layout-change.ts";
import { foundingLayout, type Layout } from "../../src/core/layout.ts";
import type { LayoutBoard, LogFields } from "../../src/ports.ts";
import { until } from "../helpers/deadline.ts";
import { type EtcdProcess, NO_ETCD, startEtcd } from "../helpers/etcd-process.ts";
import { QUIET } from "../helpers/memory-node.ts";
import { freePorts } from "../helpers/ports.ts";

const DEADLINE_MS = 15_000;
const skip = NO_ETCD === undefined ? {} : { skip: NO_ETCD };
const nodes = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ id: `node-${i}`, region: "fra", zone: `z${i % 3}`, weight: 1 }));
const FIRST = foundingLayout("our-ring", 3, nodes(3));
const OTHER = foundingLayout("other-ring", 3, nodes(5));

let etcd: EtcdProcess;
let worlds = 0;

before(async () => {
  if (NO_ETCD === undefined) etcd = await startEtcd();
});
after(async () => {
  await etcd?.[Symbol.asyncDispose]();
});

/** The layout of that number. */
const numbered = (number: number): Layout => ({ ...FIRST, number });

interface Open {
  readonly board: LayoutBoard;
  /** What was told so far. */
  readonly told: unknown[];
  readonly warnings: { readonly message: string; readonly fields: LogFields | undefined }[];
}

/** A prefix of its own. Boards end with the block. */
class World implements AsyncDisposable {
  readonly #boards: LayoutBoard[] = [];
  readonly prefix = `/board-${++worlds}/`;
  readonly key = `${this.prefix}layout`;

  open(options: Partial<EtcdLayoutBoardOptions> = {}): Open {
    const told: unknown[] = [];
    const warnings: Open["warnings"] = [];
    const board = createEtcdLayoutBoard({
      endpoints: [etcd.url],
      prefix: this.prefix,
      clock: createClock(),
      log: { ...QUIET, warn: (message, fields) => void warnings.push({ message, fields }) },
      ...options,
    });
    this.#boards.push(board);
    return { board, told, warnings };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#boards.map((board) => board.stop()));
  }

  start(options: Partial<EtcdLayoutBoardOptions> = {}): Open {
    const opened = this.open(options);
    opened.board.start((shown) => opened.told.push(shown));
    return opened;
  }

  /** One that looks at what is there, does what it does about it, and stops. */
  async looks(layout: Layout): Promise<Open> {
    const opened = this.open();
    opened.board.publish(layout);
    opened.board.start((shown) => opened.told.push(shown));
    await opened.board.stop();
    return opened;
  }

  async put(text: string): Promise<void> {
    await etcd.gateway.call("/v3/kv/put", { key: encoded(this.key), value: encoded(text) }, anyAnswer);
  }

  async text(): Promise<string | undefined> {
    return (await new EtcdDocuments(etcd.gateway).get(this.key))?.text;
  }

  async shows(layout: Layout): Promise<void> {
    const text = JSON.stringify(layout);
    await until(`layout ${layout.number} is shown`, DEADLINE_MS, async () => await this.text() === text);
  }
}

async function tells({ told, warnings }: Open, wanted: unknown): Promise<void> {
  const plain: unknown = wanted === undefined ? undefined : JSON.parse(JSON.stringify(wanted));
  const isTold = () => told.length > 0 && isDeepStrictEqual(told.at(-1), plain);
  await until("it is told", DEADLINE_MS, isTold, warnings.map(({ message }) => message));
}

test("what one shows the others are told, the first time and at each change", skip, async () => {
  await using world = new World();
  const [a, b] = [world.start(), world.start()];
  await Promise.all([tells(a, undefined), tells(b, undefined)]);
  assert.deepEqual(b.told, [undefined]);
  for (const number of [1, 2, 3]) {
    a.board.publish(numbered(number));
    await tells(b, numbered(number));
  }
  assert.deepEqual(b.told, [undefined, numbered(1), numbered(2), numbered(3)]);
  const late = world.start();
  await tells(late, numbered(3));
  assert.equal(late.told.length, 1);
  await Promise.all([a, b, late].map(({ board }) => board.stop()));
  assert.deepEqual([a, b, late].flatMap(({ warnings }) => warnings), []);
});

test("of many who show theirs at once, the highest number stays, and nobody goes back", skip, async () => {
  await using world = new World();
  const witness = world.start();
  const boards = Array.from({ length: 8 }, () => world.start());
  for (let round = 0; round < 10; round++) {
    // Some are a layout behind.
    for (const [i, { board }] of boards.entries()) board.publish(numbered(2 * round + 1 + i % 2));
    await world.shows(numbered(2 * round + 2));
  }
  await tells(witness, numbered(20));
  await Promise.all([witness, ...boards].map(({ board }) => board.stop()));
  assert.equal(await world.text(), JSON.stringify(numbered(20)));
  const numbers = witness.told.map((shown) => (shown as Layout | undefined)?.number ?? 0);
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b));
});

test(
  "an older layout does not replace a newer one, which is put back where an older one came",
  skip,
  async () => {
    await using world = new World();
    const current = world.start();
    current.board.publish(numbered(5));
    await world.shows(numbered(5));
    const { warnings } = await world.looks(numbered(3));
    assert.equal(await world.text(), JSON.stringify(numbered(5)));
    await world.put(JSON.stringify(numbered(2))); // as from a backup
    await world.shows(numbered(5));
    await current.board.stop();
    assert.deepEqual([...warnings, ...current.warnings], []);
  },
);

test("another ring's document is kept, and complained of once", skip, async () => {
  await using world = new World();
  await world.put(JSON.stringify(OTHER));
  const ours = world.start();
  ours.board.publish(numbered(7));
  await tells(ours, OTHER);
  await until("it complains", DEADLINE_MS, () => ours.warnings.length > 0);
  await world.put(JSON.stringify({ ...OTHER, number: 2 }));
  await tells(ours, { ...OTHER, number: 2 });
  ours.board.publish(numbered(8));
  await ours.board.stop();
  assert.equal((await world.looks(numbered(9))).warnings.length, 1);
  assert.equal(await world.text(), JSON.stringify({ ...OTHER, number: 2 }));
  assert.equal(ours.warnings.length, 1);
  assert.match(ours.warnings[0]!.message, /ATOLL_ETCD_PREFIX/);
  assert.equal(ours.warnings[0]!.fields?.["otherRingId"], "other-ring");
});

for (
  const [what, text] of [
    ["nothing", ""],
    ["no JSON", "{"],
    ["another document", '{"url":"http://x"}'],
    ["a layout of no number", JSON.stringify({ ...FIRST, number: "1" })],
  ] as const
) {
  test(`what says neither a ring nor a number is replaced: ${what}`, skip, async () => {
    await using world = new World();
    await world.put(text);
    const watching = world.start();
    await tells(watching, "unreadable");
    const { warnings } = await world.looks(numbered(1));
    assert.equal(await world.text(), JSON.stringify(numbered(1)));
    assert.equal(warnings.length, 1);
    await tells(watching, numbered(1));
  });
}

test("what a newer program wrote of our ring is replaced by a higher number only", skip, async () => {
  await using world = new World();
  const unreadable = JSON.stringify({ ...numbered(4), format: 3, colours: [] });
  await world.put(unreadable);
  const { warnings } = await world.looks(numbered(4));
  assert.equal(await world.text(), unreadable);
  assert.deepEqual(warnings.map(({ message }) => /cannot be read here, and is kept/.test(message)), [true]);
  await world.looks(numbered(5));
  assert.equal(await world.text(), JSON.stringify(numbered(5)));
});

test("a layout that etcd would refuse as too large is not sent, and complained of once", skip, async () => {
  await using world = new World();
  const sizeBytes = JSON.stringify(numbered(1)).length;
  const { board, told, warnings } = world.start({ bytesMax: sizeBytes });
  board.publish(numbered(1));
  await world.shows(numbered(1));
  for (const number of [10, 11]) board.publish(numbered(number));
  await board.stop();
  assert.equal(await world.text(), JSON.stringify(numbered(1)));
  assert.deepEqual(warnings.map(({ fields }) => fields), [{ sizeBytes: sizeBytes + 1, maxBytes: sizeBytes }]);
  assert.ok(told.length > 0);
});

test("the layout of 1,000 nodes that is moving has its place", skip, async () => {
  await using world = new World();
  const [joiner, ...members] = nodes(1_000);
  const moving = changedLayout(foundingLayout("our-ring", 3, members), { join: [joiner!] });
  assert.ok(moving.kind === "planned");
  const [a, b] = [world.start(), world.start()];
  a.board.publish(moving.layout);
  await tells(b, moving.layout);
});

test(
  "an etcd that is down gets the layout when it is back, and again when it came back empty",
  skip,
  async () => {
    await using world = new World();
    const { board, told } = world.start({ watchMs: 500 });
    await etcd.kill();
    board.publish(numbered(1));
    await etcd.restart();
    await world.shows(numbered(1));
    await until("it is told", DEADLINE_MS, () => told.length > 0);
    // The old store has come further than the new one will.
    for (let i = 0; i < 20; i++) await etcd.gateway.call("/v3/kv/put", { key: encoded("x") }, anyAnswer);
    await tells({ board, told, warnings: [] }, numbered(1));
    await etcd.kill();
    await etcd.restart({ empty: true });
    await world.shows(numbered(1));
    await board.stop();
  },
);

/** Stands before etcd and can be cut. */
class Line implements AsyncDisposable {
  readonly #sockets = new Set<Socket>();
  readonly #port: number;
  #server: Server | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  async join(): Promise<void> {
    this.#server = createServer((socket) => {
      const far = connect(Number(new URL(etcd.url).port), "127.0.0.1");
      for (const each of [socket, far]) {
        this.#sockets.add(each);
        each.on("error", () => {});
        each.on("close", () => (socket.destroy(), far.destroy()));
      }
      socket.pipe(far).pipe(socket);
    });
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  async cut(): Promise<void> {
    if (!this.#server) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.cut();
  }
}

test("one that was away for more changes than a message may hold learns the last of them", skip, async () => {
  await using world = new World();
  const [port = 0] = await freePorts(1);
  await using line = new Line(port);
  await line.join();
  const away = world.start({ endpoints: [`http://127.0.0.1:${port}`] });
  await world.put(JSON.stringify(numbered(1)));
  await tells(away, numbered(1));
  await line.cut();
  const padding = " ".repeat(1_200_000);
  for (const number of [2, 3, 4, 5]) await world.put(JSON.stringify(numbered(number)) + padding);
  await line.join();
  await tells(away, numbered(5));
});
