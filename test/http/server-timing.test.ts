import assert from "node:assert/strict";
import { it } from "node:test";
import { openMemoryNode } from "../helpers/memory-node.ts";

const MIB = 1 << 20;
const MS = String.raw`\d+\.\d\d`;

it("Server-Timing names the steps of an answer in their order, each with its time", async () => {
  using solo = await openMemoryNode({ maxObjectBytes: 128 * MIB });
  const put = async (
    key: string,
    body: Uint8Array<ArrayBuffer> | string,
    headers: Record<string, string> = {},
  ) => {
    const response = await solo.request(`/abc/${key}`, { method: "PUT", body, headers });
    assert.equal(response.status, 201);
    assert.match(
      response.headers.get("server-timing") ?? "",
      new RegExp(`^body;dur=${MS}, register;dur=${MS};desc="0 round trips"$`),
    );
  };
  const timing = async (key: string, init: RequestInit = {}) => {
    const response = await solo.request(`/abc/${key}`, init);
    await response.arrayBuffer();
    return response.headers.get("server-timing");
  };
  await put("small", "content");
  await timing("small");
  assert.match(await timing("small") ?? "", new RegExp(`^ask;dur=${MS}, memory$`));
  assert.match(await timing("small", { method: "HEAD" }) ?? "", new RegExp(`^ask;dur=${MS}$`));
  await put("fresh", "content", { "Cache-Control": "max-age=60" });
  await timing("fresh");
  assert.equal(await timing("fresh"), "memory");
  await put("large", new Uint8Array(3 * MIB));
  assert.match(await timing("large") ?? "", new RegExp(`^ask;dur=${MS}, (disk|memory);dur=${MS}$`));
  await put("indexed", new Uint8Array(65 * MIB));
  assert.match(
    await timing("indexed", { headers: { Range: "bytes=0-9" } }) ?? "",
    new RegExp(`^ask;dur=${MS}, index;dur=${MS}, (disk|memory);dur=${MS}$`),
  );
});
