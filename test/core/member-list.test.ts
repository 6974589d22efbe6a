import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  GONE_AFTER_MS,
  MemberList,
  type MemberRumour,
  outranks,
  SUSPICION_MS,
  type ToldState,
} from "../../src/core/member-list.ts";

type Rumour = MemberRumour<string>;
const STATES: readonly ToldState[] = ["joining", "alive", "suspect", "leaving", "dead"];

function listOf(...rumours: Rumour[]): MemberList<string> {
  const list = new MemberList<string>("self", 100, 1_000);
  for (const rumour of rumours) list.hear({ card: `card of ${rumour.id}`, ...rumour }, 0);
  return list;
}

const alive = (id: string, number = 1): Rumour => ({ id, number, state: "alive" });
const brief = ({ id, number, state }: Rumour): string => `${id} ${state} ${number}`;
/** The rumours about others that a list passes on. */
const told = (list: MemberList<string>): string[] =>
  list.news(undefined, 0).map(brief).filter((text) => !text.startsWith("self"));

test("outranks: the higher number holds, and under the same the graver state", () => {
  const claims = [1, 2, 3].flatMap((number) => STATES.map((state) => ({ number, state })));
  for (const [i, a] of claims.entries()) {
    for (const [j, b] of claims.entries()) {
      assert.equal(outranks(a, b), i > j, `${a.state} ${a.number} over ${b.state} ${b.number}`);
    }
  }
});

test("MemberList comes to the same whatever order rumours come in, and however often", () => {
  const rumour = fc.record({
    id: fc.constantFrom("a", "b"),
    number: fc.integer({ min: 2, max: 5 }),
    state: fc.constantFrom(...STATES),
  });
  fc.assert(
    fc.property(fc.array(rumour, { maxLength: 12 }), fc.infiniteStream(fc.nat()), (rumours, picks) => {
      const end = (heard: readonly Rumour[]) => {
        const list = listOf(alive("a"), alive("b"));
        for (const one of heard) list.hear(one, 0);
        return ["a", "b"].map((id) => `${list.get(id)!.state} ${list.get(id)!.number}`);
      };
      const twice = [...rumours, ...rumours];
      const order = twice.map((one) => ({ one, at: picks.next().value as number })).sort((x, y) =>
        x.at - y.at
      );
      assert.deepEqual(end(order.map(({ one }) => one)), end(rumours));
    }),
  );
});

test("MemberList denies what is said of the node itself by a number above it, and passes that on", () => {
  const list = listOf();
  list.become("alive");
  const own = list.number;
  assert.equal(list.hear({ id: "self", number: own, state: "alive" }, 0), "old");
  assert.equal(list.hear({ id: "self", number: own - 1, state: "dead" }, 0), "old");
  assert.equal(list.hear({ id: "self", number: own, state: "suspect" }, 0), "denied");
  assert.equal(list.number, own + 1);
  // Others remember a former life, whose clock was hours ahead.
  assert.equal(list.hear({ id: "self", number: own + 7_200, state: "alive" }, 0), "denied");
  assert.equal(brief(list.ownRumour()), `self alive ${own + 7_201}`);
  assert.equal(list.get("self"), undefined);
});

test("MemberList: a node that leaves does not deny it, and says so above every number", () => {
  const list = listOf();
  list.become("leaving");
  assert.equal(list.hear({ id: "self", number: 500, state: "dead" }, 0), "denied");
  assert.equal(brief(list.ownRumour()), "self leaving 501");
});

test("MemberList buries a suspect in time, later by hearsay, and not one that denies it", () => {
  const list = listOf(alive("seen"), alive("told"), alive("denies"));
  list.suspect("seen", 1_000);
  list.hear({ id: "told", number: 1, state: "suspect" }, 1_000);
  list.suspect("denies", 1_000);
  list.hear({ id: "denies", number: 2, state: "alive" }, 2_000);
  assert.deepEqual(list.overdue(1_000 + SUSPICION_MS - 1, 0), []);
  assert.deepEqual(list.overdue(1_000 + SUSPICION_MS, 0), ["seen"]);
  assert.deepEqual(list.overdue(1_000 + 2 * SUSPICION_MS, 0), ["seen", "told"]);
  assert.deepEqual(
    list.overdue(1_000 + 2 * SUSPICION_MS, 2_000 + SUSPICION_MS),
    [],
    "this node slept meanwhile",
  );
  list.bury("seen", 9_000);
  assert.equal(list.get("seen")?.state, "dead");
  assert.equal(list.get("seen")?.sinceMs, 9_000);
  assert.deepEqual(list.overdue(60_000, 0), ["told"]);
});

test("MemberList: a suspicion under a new number is another one, and gets its time", () => {
  const list = listOf(alive("a"));
  list.hear({ id: "a", number: 1, state: "suspect" }, 0);
  list.hear({ id: "a", number: 2, state: "suspect" }, 5_000);
  assert.deepEqual(list.overdue(2 * SUSPICION_MS, 0), []);
  assert.deepEqual(list.overdue(5_000 + 2 * SUSPICION_MS, 0), ["a"]);
});

test("MemberList: who said that it leaves is dead as soon as it falls silent", () => {
  const list = listOf({ id: "a", number: 3, state: "leaving" }, alive("a", 2), {
    id: "a",
    number: 3,
    state: "leaving",
  });
  list.suspect("a", 1_000);
  assert.equal(list.get("a")?.state, "dead");
  assert.ok(told(list).includes("a dead 3"));
});

test("MemberList takes news of strangers only with a card, and none of their death", () => {
  const list = new MemberList<string>("self", 1, 3);
  assert.equal(list.hear(alive("a"), 0), "unknown");
  assert.equal(list.hear({ id: "a", number: 1, state: "dead", card: "card" }, 0), "old");
  assert.equal(list.hear({ id: "a", number: 1, state: "suspect", card: "card" }, 0), "changed");
  assert.equal(list.get("a")?.state, "suspect");
  for (const id of ["b", "c", "d", "e"]) list.hear({ ...alive(id), card: "card" }, 0);
  assert.equal(list.size, 3, "bounded");
  assert.equal(list.meet("d", "card", 0), false);
  assert.equal(list.learn("d", "card", 0), false);
});

test("MemberList passes on neither what it only remembers nor what is no news", () => {
  const list = listOf();
  assert.equal(list.learn("remembered", "card", 0), true);
  list.bury("remembered", 0);
  assert.deepEqual(told(list), []);
  list.hear({ ...alive("of a page"), card: "card" }, 0, { isNews: false });
  for (let n = 0; n < 5; n++) assert.deepEqual(told(list), ["of a page alive 1"], "in turn, that is");
  assert.deepEqual(list.page("", 10, "own").entries.map(({ id }) => id), ["of a page", "self"]);
});

test("MemberList.meet: who speaks is there, whatever was remembered; a number is denied only by a higher one", () => {
  const list = listOf({ id: "b", number: 5, state: "suspect" });
  list.learn("a", "old card", 0);
  list.meet("a", "card", 10);
  assert.deepEqual([list.get("a")?.state, list.get("a")?.card], ["alive", "card"]);
  list.meet("b", "new card", 10);
  assert.deepEqual([list.get("b")?.state, list.get("b")?.card], ["suspect", "new card"]);
});

test("MemberList.news begins with the sender and tells the receiver what it has to deny", () => {
  const list = listOf(alive("a", 4), alive("b", 4));
  while (told(list).length > 1);
  list.hear({ id: "a", number: 4, state: "suspect" }, 0);
  assert.deepEqual(list.news("a", 4).slice(0, 2).map(brief), ["self joining 100", "a suspect 4"]);
  assert.equal(list.news("b", 4).filter(({ id }) => id === "b").length <= 1, true);
  assert.ok(list.news("b", 3).map(brief).includes("b alive 4"), "it began below what it once was");
  assert.equal(list.ownRumour("card").card, "card");
});

test("MemberList.news is bounded, and everybody has a turn in the end", () => {
  const list = listOf(...Array.from({ length: 300 }, (_, n) => alive(`n${n}`)));
  for (let n = 0; n < 2_000; n++) assert.ok(list.news("n5", 1).length <= 11);
  const turns = new Set(Array.from({ length: 301 }, () => told(list)).flat());
  assert.equal(turns.size, 300);
});

test("MemberList.page goes through all in order of ID, the node itself too", () => {
  const list = listOf(...Array.from({ length: 25 }, (_, n) => alive(`n${n}`)));
  const ids: string[] = [];
  for (let after: string | undefined = ""; after !== undefined;) {
    const page: { entries: Rumour[]; next: string | undefined } = list.page(after, 10, "own card");
    assert.ok(page.entries.length <= 10);
    ids.push(...page.entries.map(({ id }) => id));
    after = page.next;
  }
  assert.deepEqual(ids, [...list.all()].map(({ id }) => id).concat("self").sort());
});

test("MemberList forgets who is dead for long and has no place, and nobody brings it back", () => {
  const list = listOf(alive("placed"), alive("former"), alive("lives"));
  for (const id of ["placed", "former"]) list.bury(id, 0);
  const sweep = (nowMs: number) => list.sweep(nowMs, (id) => id === "placed");
  assert.deepEqual(sweep(GONE_AFTER_MS - 1), []);
  assert.deepEqual(sweep(GONE_AFTER_MS), []);
  assert.deepEqual(["placed", "former", "lives"].map((id) => list.get(id)?.state), ["dead", "gone", "alive"]);
  assert.equal(list.hear({ id: "former", number: 1, state: "dead" }, GONE_AFTER_MS), "old");
  assert.deepEqual(sweep(2 * GONE_AFTER_MS), ["former"]);
  assert.equal(list.hear({ id: "former", number: 1, state: "dead", card: "card" }, 2 * GONE_AFTER_MS), "old");
  assert.equal(list.get("former"), undefined);
  assert.equal(list.get("placed")?.state, "dead");
});

test("MemberList: who is gone and speaks is there again, once it says a number above", () => {
  const list = listOf(alive("a", 3));
  list.bury("a", 0);
  list.sweep(GONE_AFTER_MS, () => false);
  list.meet("a", "card", GONE_AFTER_MS);
  assert.equal(list.get("a")?.state, "dead");
  list.hear({ id: "a", number: 4, state: "alive" }, GONE_AFTER_MS);
  assert.equal(list.get("a")?.state, "alive");
});
