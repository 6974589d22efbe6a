/** ring …, against a stand-in for the ring's pages. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { command, type CommandOptions } from "../helpers/command-line.ts";
import {
  type RingStandIn,
  standInNode,
  standInPlan,
  standInStatus,
  startRingStandIn,
} from "../helpers/ring-stand-in.ts";

function ring(standIn: RingStandIn, words: readonly string[], options: CommandOptions = {}) {
  // A plan has nothing to watch.
  const interval = words[0] === "plan" ? [] : ["--interval", "0.01"];
  return command(["ring", ...words, ...interval], { ...options, env: { ATOLL_URL: standIn.url } });
}

const move = {
  partitionsTotal: 100,
  partitionsLeft: 40,
  bytesDone: 3 * 2 ** 20,
  bytesLeft: 2 ** 20,
  etaSeconds: 75,
  objectsLeft: 3,
};
const moving = standInStatus({
  layout: { number: 8, state: "moving", replicas: 3, voters: ["node-a"] },
  nodes: [
    standInNode("node-a", "ams", { partitions: { before: 10, after: 0 }, synced: false, state: "suspect" }),
  ],
  move,
});
const settled8 = standInStatus({
  layout: { number: 8, state: "settled", replicas: 3, voters: ["node-a", "node-b", "node-c"] },
});

test("ring status shows the nodes by zone, and while it moves how far it is", async () => {
  await using standIn = await startRingStandIn();
  const { code, stdout, stderr } = await ring(standIn, ["status"]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(stdout.toString().trimEnd().split("\n"), [
    "ring ring-1  layout 7, settled  3 replicas  3 members in 3 zones",
    "",
    "node      state  region  zone  weight  partitions     rtt  role   url",
    "node-a *  alive  ams     ams        1        1024  1.3 ms  voter  http://node-a:8080",
    "node-b    alive  fra     fra        1        1024  1.3 ms  voter  http://node-b:8080",
    "node-c    alive  iad     iad        1        1024       -  voter  http://node-c:8080",
    "",
    "seen by node-a; voters: node-a, node-b, node-c",
  ]);
  standIn.statuses = [moving];
  const now = await ring(standIn, ["status"]);
  assert.match(
    now.stdout.toString(),
    /^moving {2}75 % {2}60 of 100 copies of partitions {2}3\.0 MiB of 4\.0 MiB {2}1 min 15 s left$/m,
  );
  assert.match(now.stdout.toString(), /^copies of objects that still lack chunks: 3$/m);
  assert.match(now.stdout.toString(), /^node-a \* {2}suspect .* 10 +0 +no +1\.3 ms/m);
  assert.deepEqual((await ring(standIn, ["status", "--json"])).documents(), [moving]);
});

test("ring status --watch ends when the layout is settled: lines, JSON, or a bar", async () => {
  await using standIn = await startRingStandIn();
  const course = () => [
    moving,
    { ...moving, move: { ...move, bytesDone: 4 * 2 ** 20, bytesLeft: 0, partitionsLeft: 1 } },
    settled8,
  ];
  standIn.statuses = course();
  const lines = await ring(standIn, ["status", "--watch"]);
  assert.equal(lines.code, 0, lines.stderr);
  // The second is not said: it comes within the seconds in which nothing is said again.
  assert.equal(
    lines.stderr,
    "moving  75 %  60 of 100 copies of partitions  3.0 MiB of 4.0 MiB  1 min 15 s left\n",
  );
  assert.match(lines.stdout.toString(), /layout 8, settled/);
  standIn.statuses = course();
  const json = await ring(standIn, ["status", "--watch", "--json"]);
  assert.deepEqual(
    json.documents().map((line) => (line["layout"] as { state: string }).state),
    ["moving", "moving", "settled"],
  );
  standIn.statuses = course();
  const bars = await ring(standIn, ["status", "--watch"], { terminal: [] });
  assert.match(bars.stderr, /moving {2}\[=+> +\] 75 %/);
  assert.match(bars.stdout.toString(), /layout 8, settled/);
});

test("a move is not said to be whole before anybody has begun, nor while chunks lack", async () => {
  await using standIn = await startRingStandIn();
  const none = { partitionsTotal: 0, partitionsLeft: 0, bytesDone: 0, bytesLeft: 0, etaSeconds: null };
  standIn.statuses = [{ ...moving, move: { ...none, objectsLeft: 0 } }];
  const begun = await ring(standIn, ["status"]);
  assert.match(begun.stdout.toString(), /^moving {2}no node has said yet how far it is$/m);
  const lacking = { ...none, partitionsTotal: 100, bytesDone: 2 ** 20, etaSeconds: 0, objectsLeft: 3 };
  standIn.statuses = [{ ...moving, move: lacking }];
  const { stdout } = await ring(standIn, ["status"]);
  assert.match(
    stdout.toString(),
    /^moving {2}100 of 100 copies of partitions {2}1\.0 MiB so far, and chunks of 3 objects to come$/m,
  );
  assert.doesNotMatch(stdout.toString(), /100 %|0 s left/);
  standIn.statuses = [{ ...moving, move: { ...lacking, objectsLeft: 0 } }];
  assert.match((await ring(standIn, ["status"])).stdout.toString(), /^moving {2}100 % /m);
});

test("a terminal that was told no size has its bar all the same", async () => {
  await using standIn = await startRingStandIn();
  standIn.statuses = [moving, settled8];
  const { code, stderr } = await ring(standIn, ["status", "--watch"], { terminal: [], size: [0, 0] });
  assert.equal(code, 0);
  assert.match(stderr, /moving {2}\[=+> +\] 75 %/);
});

test("status shows the ring where there is one", async () => {
  await using standIn = await startRingStandIn();
  standIn.statuses = [moving];
  const { code, stdout } = await command(["status"], { env: { ATOLL_URL: standIn.url } });
  assert.equal(code, 0);
  assert.match(stdout.toString(), /^layout +8, moving, 3 replicas$/m);
  assert.match(stdout.toString(), /^members +0 of 1 alive$/m);
  assert.match(stdout.toString(), /^move +75 % /m);
});

test("ring plan sends what was asked and shows what moves, and changes nothing", async () => {
  await using standIn = await startRingStandIn();
  const { code, stdout, stderr } = await ring(standIn, [
    "plan",
    "--drain",
    "node-a",
    "--join=node-d,node-e",
    "--weight",
    "node-d=2",
    "--zone=node-d=syd",
    "--replace",
    "node-x=node-y",
    "--replicas",
    "5",
  ]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(standIn.asked, [{
    path: "/_/ring/plan",
    document: {
      join: ["node-d", "node-e"],
      drain: ["node-a"],
      replace: [{ from: "node-x", to: "node-y" }],
      weight: { "node-d": 2 },
      zone: { "node-d": "syd" },
      replicas: 5,
    },
  }]);
  assert.deepEqual(stdout.toString().trimEnd().split("\n"), [
    "plan on layout 7: drain node-a",
    "",
    "node    zone  partitions  after  change",
    "node-a  ams         1024      0   -1024",
    "node-d  syd            0   1024   +1024",
    "",
    "moves        1024 replicas of 1024 partitions, 5.0 GiB",
    "partitions   0-3 10 20 22 24 26 28 30 32 34 36 38 and 11 more (--json has all, and who holds them)",
    "balance      fullest node 1.00 -> 1.25 of the mean",
    "zone spread  1024 -> 1000 partitions in 3 zones, as wanted",
    "warning      one zone only holds one node",
  ]);
  assert.deepEqual((await ring(standIn, ["plan", "--drain=node-a", "--json"])).documents(), [standIn.plan]);
  standIn.plan = standInPlan({ bytesToMove: null });
  assert.match(
    (await ring(standIn, ["plan", "--drain=node-a"])).stdout.toString(),
    /an unknown number of bytes/,
  );
});

test("ring apply shows the plan, asks, and applies it on the layout it was made on", async () => {
  await using standIn = await startRingStandIn();
  standIn.statuses = [moving, settled8];
  const said = await ring(standIn, ["apply", "--drain", "node-a", "--watch"], {
    terminal: [{ question: /Apply this plan\? \[y\/N\]/, answer: "y" }],
  });
  assert.equal(said.code, 0, said.stderr);
  assert.match(
    said.stdout.toString(),
    /plan on layout 7: drain node-a[^]+layout 8 is decided[^]+layout 8, settled/,
  );
  assert.deepEqual(standIn.asked.at(-1), {
    path: "/_/ring/apply",
    document: { base: 7, change: { drain: ["node-a"] } },
  });
  standIn.asked.length = 0;
  const declined = await ring(standIn, ["apply", "--drain", "node-a"], {
    terminal: [{ question: /Apply this plan/, answer: "" }],
  });
  assert.equal(declined.code, 1);
  assert.match(declined.stderr, /nothing was changed/);
  const unasked = await ring(standIn, ["apply", "--drain", "node-a"]);
  assert.equal(unasked.code, 2);
  assert.match(unasked.stderr, /wanted --yes/);
  assert.match(unasked.stdout.toString(), /plan on layout 7/);
  assert.ok(standIn.asked.every(({ path }) => path === "/_/ring/plan"));
  const json = await ring(standIn, ["apply", "--drain", "node-a", "--yes", "--json"]);
  assert.deepEqual(json.documents(), [{ command: "apply", layout: 8, plan: standIn.plan }]);
});

test("who goes and still runs, and who is away and is to hold data, is named before the question", async () => {
  await using standIn = await startRingStandIn();
  const [a, c] = [standInNode("node-a", "ams"), standInNode("node-c", "iad")];
  const dead = standInNode("node-b", "fra", { state: "dead" });
  standIn.statuses = [standInStatus({ nodes: [a, dead, c] })];
  const holding = (id: string, after: number) => ({ id, zone: "ams", before: 1024, after });
  const nodes = [holding("node-a", 0), holding("node-b", 1024), holding("node-c", 1024)];
  const runs = "node-a still runs: stop it when it holds nothing, or it may be taken in again";
  const away =
    "node-b does not answer, and is to hold 1024 partitions: those that too few others hold then can be";
  const cases = [
    [["remove", "node-a"], { remove: ["node-a"] }, [runs, away]],
    [["replace", "node-a", "node-d"], { replace: [{ from: "node-a", to: "node-d" }] }, [runs, away]],
    [["drain", "node-a"], { drain: ["node-a"] }, [away]],
  ] as const;
  for (const [words, change, said] of cases) {
    standIn.plan = standInPlan({ change, nodes });
    const { stderr } = await ring(standIn, words, {
      terminal: [{ question: /Apply this plan/, answer: "" }],
    });
    const [before = ""] = stderr.split("Apply this plan");
    assert.deepEqual([runs, away].filter((line) => before.includes(line)), said);
  }
  const planned = await ring(standIn, ["plan", "--drain", "node-a"]);
  assert.deepEqual([planned.code, planned.stderr.includes(away)], [0, true]);
  standIn.plan = standInPlan({ change: { remove: ["node-b"] }, nodes: [nodes[2], holding("node-b", 0)] });
  assert.equal((await ring(standIn, ["plan", "--remove", "node-b"])).stderr, "");
  standIn.plan = standInPlan({ change: { drain: ["node-a"] }, nodes });
  assert.equal((await ring(standIn, ["plan", "--drain", "node-a", "--json"])).stderr, "");
});

test("the shorthands are changes like any other", async () => {
  await using standIn = await startRingStandIn();
  for (
    const [words, change] of [
      [["join", "d", "e"], { join: ["d", "e"] }],
      [["drain", "a"], { drain: ["a"] }],
      [["remove", "a", "b"], { remove: ["a", "b"] }],
      [["replace", "a", "b"], { replace: [{ from: "a", to: "b" }] }],
      [["weight", "a", "2.5"], { weight: { a: 2.5 } }],
      [["zone", "a", "fra-2"], { zone: { a: "fra-2" } }],
      [["replicas", "5"], { replicas: 5 }],
    ] as const
  ) {
    const { code, stderr } = await ring(standIn, [...words, "--yes"]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(standIn.asked.at(-1)!.document, { base: 7, change });
  }
  for (
    const words of [["drain"], ["replace", "a"], ["weight", "a"], ["weight", "a", "b"], ["replicas", "2"]]
  ) {
    const { code, stderr } = await ring(standIn, [...words, "--yes"]);
    assert.equal(code, 2, stderr);
  }
});

test("a layout that changed meanwhile shows the new plan and stops with 4", async () => {
  await using standIn = await startRingStandIn();
  standIn.apply = () => ({
    status: 409,
    document: {
      code: "layout-changed",
      detail: "the plan was made on layout 7, the ring is at 9",
      plan: standInPlan({ base: 9 }),
    },
  });
  const plain = await ring(standIn, ["drain", "node-a", "--yes"]);
  assert.equal(plain.code, 4);
  assert.match(plain.stderr, /plan on layout 9: drain node-a/);
  assert.match(plain.stderr, /atoll: the plan was made on layout 7.+\(layout-changed\)\n$/);
  assert.equal(standIn.asked.filter(({ path }) => path === "/_/ring/apply").length, 1);
  const json = await ring(standIn, ["drain", "node-a", "--yes", "--json"]);
  const { error } = JSON.parse(json.stderr) as { error: { plan: { base: number }; exitCode: number } };
  assert.equal(error.plan.base, 9);
  assert.equal(error.exitCode, 4);
});

const refusesWithout = (words: string): RingStandIn["apply"] => (document) => {
  const change = document["change"] as Record<string, unknown> | undefined;
  return (change ?? document)["confirm"] === words
    ? { status: 200, document: { layout: 8 } }
    : { status: 422, document: { code: "refused", detail: "12 partitions would be lost", confirm: words } };
};

test("what a node refuses takes the words it names, typed or given", async () => {
  await using standIn = await startRingStandIn();
  standIn.apply = refusesWithout("lose 12 partitions");
  const unasked = await ring(standIn, ["remove", "node-a", "--yes"]);
  assert.equal(unasked.code, 1);
  assert.equal(
    unasked.stderr,
    'atoll: 12 partitions would be lost; to do it all the same, pass --confirm "lose 12 partitions" (refused)\n',
  );
  const typed = await ring(standIn, ["remove", "node-a", "--yes"], {
    terminal: [{
      question: /12 partitions would be lost[^]+type: lose 12 partitions\n>/,
      answer: "lose 12 partitions",
    }],
  });
  assert.equal(typed.code, 0, typed.stderr);
  const wrong = await ring(standIn, ["remove", "node-a", "--yes"], {
    terminal: [{ question: /type: lose 12 partitions/, answer: "y" }],
  });
  assert.equal(wrong.code, 1);
  const given = await ring(standIn, ["remove", "node-a", "--yes", "--confirm", "lose 12 partitions"]);
  assert.equal(given.code, 0, given.stderr);
  const other = await ring(standIn, ["remove", "node-a", "--yes", "--confirm", "whatever"]);
  assert.equal(other.code, 1);
  assert.match(other.stderr, /12 partitions would be lost.+\(refused\)/);
});

test("force-recover warns, and wants the node's words", async () => {
  await using standIn = await startRingStandIn();
  standIn.apply = refusesWithout("I accept the loss");
  const typed = await ring(standIn, ["force-recover", "--survivors", "node-b,node-c"], {
    terminal: [{ question: /!!!!\n12 partitions[^]+type: I accept the loss/, answer: "I accept the loss" }],
  });
  assert.equal(typed.code, 0, typed.stderr);
  assert.match(typed.stderr, /What only the others held is lost/);
  assert.deepEqual(standIn.asked.map(({ path, document }) => [path, document]), [
    ["/_/ring/force-recover", { survivors: ["node-b", "node-c"] }],
    ["/_/ring/force-recover", { survivors: ["node-b", "node-c"], confirm: "I accept the loss" }],
  ]);
  const unasked = await ring(standIn, ["force-recover"]);
  assert.equal(unasked.code, 1);
  assert.match(unasked.stderr, /pass --confirm "I accept the loss"/);
  const given = await ring(standIn, ["force-recover", "--confirm", "I accept the loss", "--json"]);
  assert.deepEqual(given.documents(), [{ command: "force-recover", layout: 8 }]);
});

test("a node whose pages look otherwise is named, not believed", async () => {
  await using standIn = await startRingStandIn();
  standIn.statuses = [{ ...standInStatus(), layout: { number: "seven" } }];
  const { code, stderr } = await ring(standIn, ["status"]);
  assert.equal(code, 1);
  assert.match(stderr, /GET \/_\/ring: layout\.number: .+ \(not-atoll\)\n$/);
  standIn.apply = () => ({ status: 503, document: { code: "no-quorum", detail: "1 of 3 voters answered" } });
  const later = await ring(standIn, ["drain", "node-a", "--yes"]);
  assert.equal(later.code, 5);
  assert.match(later.stderr, /1 of 3 voters answered \(no-quorum\)/);
});
