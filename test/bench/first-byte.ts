/** How long a reader waits for the first byte: one request after another on one connection. */
import { Agent, get } from "node:http";
import { median } from "./medians.ts";

export async function firstByteMs(url: string, headers: readonly string[], seconds: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const fields = Object.fromEntries(headers.map((header) => header.split(": ", 2) as [string, string]));
  const samples: number[] = [];
  const endMs = performance.now() + seconds * 1000;
  try {
    // The first requests open the connection and warm the code.
    for (let i = 0; i < 50; i++) await once(url, fields, agent);
    while (performance.now() < endMs) samples.push(await once(url, fields, agent));
  } finally {
    agent.destroy();
  }
  return median(samples);
}

function once(url: string, headers: Record<string, string>, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const request = get(url, { headers, agent }, (response) => {
      let firstMs: number | undefined;
      response.on("data", () => firstMs ??= performance.now() - startedMs);
      response.once("error", reject);
      response.once("end", () => {
        if (response.statusCode !== 200 || firstMs === undefined) {
          reject(new Error(`GET ${url}: wanted 200 with a body, got ${response.statusCode}`));
        } else resolve(firstMs);
      });
    });
    request.once("error", reject);
  });
}
