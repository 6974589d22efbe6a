/** What was shown once is not checked anew, and never taken for anything else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createSecrets } from "../../src/adapters/secrets.ts";
import { type Key, Keys } from "../../src/node/keys.ts";
import { KEYS } from "../helpers/credentials.ts";

const MANNER = { by: "header" };
const SHOWN = "header\nBearer reader.of-a-secret";

function open(): { keys: Keys<typeof MANNER>; key: Key; digests: () => number } {
  const secrets = createSecrets();
  let count = 0;
  const counted = { ...secrets, digest: (text: string) => (count++, secrets.digest(text)) };
  const keys = new Keys<typeof MANNER>({
    secrets: counted,
    configured: [{ ...KEYS.reader, grants: [{ actions: ["read"], bucket: "*", prefix: "" }] }],
  });
  const [key] = keys.configured;
  return { keys, key: key!, digests: () => count };
}

test("what came last on a connection is known again there without a digest", () => {
  const { keys, key, digests } = open();
  const [connection, other] = [{}, {}];
  assert.equal(keys.recall(SHOWN, connection), undefined, "nothing was right yet");
  keys.remember(SHOWN, MANNER, key);
  assert.deepEqual(keys.recall(SHOWN, connection), { manner: MANNER, key });
  const before = digests();
  assert.deepEqual(keys.recall(SHOWN, connection), { manner: MANNER, key });
  assert.equal(digests(), before);
  assert.deepEqual(keys.recall(SHOWN, other), { manner: MANNER, key });
  assert.deepEqual(keys.recall(SHOWN, undefined), { manner: MANNER, key });
});

test("on a connection that showed what was right nothing else passes for it", () => {
  const { keys, key } = open();
  const connection = {};
  keys.remember(SHOWN, MANNER, key);
  assert.ok(keys.recall(SHOWN, connection));
  const others = [
    SHOWN.slice(0, -1),
    `${SHOWN}x`,
    `X${SHOWN.slice(1)}`,
    `${SHOWN.slice(0, -1)}T`,
    SHOWN.toUpperCase(),
    "",
  ];
  for (const other of others) assert.equal(keys.recall(other, connection), undefined, other);
  assert.ok(keys.recall(SHOWN, connection));
});
