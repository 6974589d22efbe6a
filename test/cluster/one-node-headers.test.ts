/** However much a client gives to be kept with an object: it is refused at once, or there after the next start, too. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startNode } from "../helpers/atoll-process.ts";
import { ask, put } from "../helpers/raw-http.ts";
import { HERE } from "../helpers/raw-start.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

const meta = (chars: number, letter = "v"): string => letter.repeat(chars);
const many = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`atoll-meta-${n}`, String(n)]));
const nameOf = (chars: number): string => "atoll-meta-".padEnd(chars, "n");

/** One header is the content's type, which each object has. */
const KEPT: Record<string, Record<string, string>> = {
  "the longest value": { "atoll-meta-a": meta(16_384) },
  "the longest name": { [nameOf(256)]: "value" },
  "as many as there may be": many(255),
  "as much as there may be": { "atoll-meta-a": meta(16_000), "atoll-meta-b": meta(16_000) },
  "what is no ASCII": { "atoll-meta-a": "\u00fc\u00ff" },
  "a name that objects have by themselves": { "atoll-meta-__proto__": "value" },
};
const REFUSED: Record<string, [Record<string, string>, RegExp]> = {
  "too long a value": [
    { "atoll-meta-a": meta(16_385) },
    /at most 16384 characters of atoll-meta-a, got 16385/,
  ],
  "too long a name": [{ [nameOf(257)]: "value" }, /name of at most 256 characters, got 257/],
  "too many": [many(256), /at most 256 headers to keep, got 257/],
  "too much": [
    { "atoll-meta-a": meta(16_384), "atoll-meta-b": meta(16_384) },
    /at most 32768 characters of headers/,
  ],
};

test("headers of an upload are refused, or there after the next start", async () => {
  using directory = temporaryDirectory();
  const options = { runtime: HERE, dataDir: directory.path, env: { ATOLL_MAX_HEADER_BYTES: "64KiB" } };
  const targetOf = (label: string): string => `/headers/${label.replaceAll(" ", "-")}`;
  {
    await using node = await startNode(options);
    for (const [label, headers] of Object.entries(KEPT)) {
      const { status, body } = await put(node.publicUrl + targetOf(label), "content", { headers });
      assert.equal(status, 201, `${label}: ${body.toString()}`);
    }
    for (const [label, [headers, detail]] of Object.entries(REFUSED)) {
      const { status, body } = await put(node.publicUrl + targetOf(label), "content", { headers });
      assert.equal(status, 431, `${label}: ${body.toString()}`);
      assert.match(body.toString(), detail);
    }
  }
  await using node = await startNode(options);
  for (const [label, headers] of Object.entries(KEPT)) {
    const answer = await ask(node.publicUrl + targetOf(label));
    assert.equal(answer.status, 200, label);
    for (const [name, value] of Object.entries(headers)) assert.equal(answer.headers[name], value, label);
  }
  const listing = await ask(`${node.publicUrl}/headers`);
  assert.equal(listing.status, 200);
  const { objects } = JSON.parse(listing.body.toString()) as { objects: unknown[] };
  assert.equal(objects.length, Object.keys(KEPT).length);
});
