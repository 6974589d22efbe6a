/** What comes from peers and from disk, bent: it is refused with a reason, or is what it was. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { fromCells, toCells } from "../../src/adapters/catalog-rows.ts";
import { createChunkFormat } from "../../src/adapters/chunk-format.ts";
import { foundingLayout } from "../../src/core/layout.ts";
import { type ErrorCode, isAtollError } from "../../src/errors.ts";
import {
  decodeReplies,
  decodeRequests,
  encodeReply,
  encodeRequest,
  joinFrames,
} from "../../src/http/peer-codec.ts";
import { loadLayout } from "../../src/node/layout/layouts.ts";
import { createSeededRandom } from "../helpers/fake-random.ts";
import { createMemoryCatalog } from "../helpers/memory-catalog.ts";
import { exchanges, type MadeUpExchange } from "../helpers/peer-messages.ts";
import { bendBytes, bendText } from "./mutation.ts";

const { "chunk-put": _put, "chunk-get": _get, "decree-accept": _large, layout: _larger, ...small } =
  exchanges;
const exchange = fc.oneof(...Object.values(small));
const seed = fc.integer();

/** Nothing but `codes` is thrown. */
function refusesOnly(codes: ErrorCode[], read: () => unknown): void {
  try {
    read();
  } catch (error) {
    assert.ok(isAtollError(error, ...codes), String(error instanceof Error ? error.stack : error));
  }
}

test("a call whose bytes were bent is garbage, as a whole or message by message", () => {
  type Call = Parameters<typeof encodeRequest>[0]["request"];
  const body = ({ request }: MadeUpExchange) => joinFrames([encodeRequest({ request: request as Call })]);
  fc.assert(
    fc.property(exchange, seed, (made, n) => {
      const bent = bendBytes(body(made), createSeededRandom(n));
      refusesOnly(["peer-garbage"], () => {
        for (const message of decodeRequests(bent)) {
          if (message instanceof Error) {
            assert.ok(isAtollError(message, "peer-garbage"), String(message.stack));
          }
        }
      });
    }),
    { numRuns: 400 },
  );
});

test("a reply whose bytes were bent is garbage", () => {
  fc.assert(
    fc.property(exchange, seed, ({ reply }, n) => {
      const body = joinFrames([encodeReply(reply as Parameters<typeof encodeReply>[0])]);
      const bent = bendBytes(body, createSeededRandom(n));
      refusesOnly(["peer-garbage"], () => decodeReplies(bent, 1));
    }),
    { numRuns: 400 },
  );
});

test("a chunk's file that was bent is no chunk", async () => {
  const format = await createChunkFormat();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2_000 }), seed, (bytes, n) => {
      const id = createHash("sha256").update(bytes).digest("hex");
      const file = Buffer.concat([bytes, format.trailer(id, bytes)]);
      const opened = format.open(id, bendBytes(file, createSeededRandom(n)));
      if (opened) assert.ok(Buffer.from(bytes).equals(opened), "other bytes under the same name");
    }),
    { numRuns: 1_000 },
  );
});

test("a register's row whose text was bent is damaged, or still a register's", () => {
  fc.assert(
    fc.property(exchanges.state, fc.string({ maxLength: 20 }), seed, ({ reply }, key, n) => {
      assert.ok(reply.type === "state");
      const cells = toCells({ name: `abc\0${key}`, state: reply.state });
      const [name, promisedCounter, promisedNode, acceptedCounter, acceptedNode, text] = cells;
      if (text === null) return;
      const bent = bendText(text, createSeededRandom(n));
      refusesOnly(
        ["damaged"],
        () => fromCells([name, promisedCounter, promisedNode, acceptedCounter, acceptedNode, bent]),
      );
    }),
    { numRuns: 400 },
  );
});

test("a layout on disk whose text was bent is named as what cannot be read", async () => {
  const layout = foundingLayout("ring", 3, [{ id: "a", region: "r", zone: "z", weight: 1 }]);
  const text = JSON.stringify({ ...layout, table: [], since: undefined });
  const texts = [...Array(300).keys()].map((n) => bendText(text, createSeededRandom(n)));
  for (const bent of ["", "null", "[]", "7", "{}", '{"nodes":7}', '{"table":[null]}', ...texts]) {
    const catalog = createMemoryCatalog();
    await catalog.commit({ documents: [{ key: "layout", text: bent }] });
    await assert.rejects(loadLayout(catalog), (error) => isAtollError(error, "data-dir"), bent.slice(0, 300));
  }
});
