/** Proposals of layouts that meet others, and each proposer's word on what became of its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryRing } from "../../helpers/memory-ring.ts";

const IDS = ["a", "b", "c"];

/** A proposal of `a` is accepted by `a` alone, and `c`, which proposes another, finds it there. */
async function raced(ring: MemoryRing): Promise<unknown[]> {
  const { base } = ring.node("a").administration.plan({ weight: { b: 2 } });
  let accepted = (): void => {};
  const isAccepted = new Promise<void>((resolve) => (accepted = resolve));
  const healed = ring.network.rule(({ from, request, reply }) => {
    if (reply || from !== "a" || request.type !== "decree-accept") return undefined;
    accepted();
    return { refused: true };
  });
  const first = ring.node("a").administration.apply(base, { weight: { b: 2 } });
  await ring.run(isAccepted);
  healed();
  const held = ring.network.rule(({ from, to, request, reply }) =>
    !reply && request.type === "decree-prepare" && (from === "a" || to === "b")
      ? { refused: true }
      : undefined
  );
  const second = await ring.run(ring.node("c").administration.apply(base, { weight: { c: 3 } }));
  held();
  return [await ring.run(first), second];
}

test("a proposer whose layout another carried on is told that it was decided", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  const [first, second] = await raced(ring) as { kind: string; layout?: number }[];
  assert.deepEqual(first, { kind: "applied", layout: 2 });
  assert.equal(second!.kind, "changed");
  assert.deepEqual(ring.node("c").layout()!.nodes.map(({ weight }) => weight), [1, 2, 1]);
  ring.close();
});

test("who asks again for what was applied is told that it is", async () => {
  const ring = await MemoryRing.open({ ids: IDS });
  const { administration } = ring.node("a");
  const { base } = administration.plan({ weight: { b: 2 } });
  const answers = [
    await ring.run(administration.apply(base, { weight: { b: 2 } })),
    await ring.run(administration.apply(base, { weight: { b: 2 } })),
  ];
  assert.deepEqual(answers.map(({ kind }) => kind), ["applied", "applied"]);
  ring.close();
});
