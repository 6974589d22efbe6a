import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import { listen } from "../../src/adapters/listener-port.ts";

const run = promisify(execFile);
/** A thousand clients may come in one moment; Node's own default is 511. */
const CROWD = 1_024;

test("a listener has room for a crowd that comes in one moment", async (context) => {
  const found = await run("ss", ["--version"]).catch(() => undefined);
  if (!found) return context.skip("ss is not there to ask the kernel with");
  const server = createServer();
  await listen(server, "127.0.0.1", 0);
  try {
    const { port } = server.address() as AddressInfo;
    const { stdout } = await run("ss", ["-ltnH", `sport = :${port}`]);
    // State, Recv-Q: those who wait; Send-Q: how many may.
    const room = Number(stdout.trim().split(/\s+/)[2]);
    const allowed = Number(await readFile("/proc/sys/net/core/somaxconn", "utf8"));
    assert.ok(room >= Math.min(CROWD, allowed), `wanted room for ${CROWD}, got ${JSON.stringify(stdout)}`);
  } finally {
    server.close();
    await once(server, "close");
  }
});
