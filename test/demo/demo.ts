/**
 * `npm run demo`: three regions on this machine, one of them lost and brought back. Every claim on the screen is checked;
 * the first that does not hold ends the demo with an error.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AtollProcess } from "../helpers/atoll-process.ts";
import { type AtollRing, startRing } from "../helpers/atoll-ring.ts";
import { until } from "../helpers/deadline.ts";
import { type Answer, call } from "./client.ts";
import { chunkCounts } from "./metrics.ts";
import { chapter, command, note, progressBar, result } from "./screen.ts";

const REGIONS = ["fra", "iad", "syd"] as const;
type Region = (typeof REGIONS)[number];

const FILM_BYTES = 64 << 20;
const SMALL_OBJECTS = 20;
const WRITE_DEADLINE_MS = 15_000;

/** What was acknowledged, and so must be there: path and SHA-256. */
const acknowledged = new Map<string, string>();

async function demo(directory: string): Promise<void> {
  chapter("Three nodes start, and find each other");
  await using ring = await startRing({
    runtimes: ["node", "node", "deno"],
    regions: REGIONS,
    directory,
    env: { ATOLL_REPLICAS: "3" },
  });
  for (const [i, region] of REGIONS.entries()) {
    const node = ring.nodes[i]!;
    result(
      `${region}  ${node.publicUrl}  on ${node.runtime === "node" ? "Node" : "Deno"}, process ${node.pid}`,
    );
  }
  await storeFilm(at(ring, "fra"));
  await readEverywhere(ring);
  await createOnly(ring);
  await compareAndSwap(ring);
  await loseRegion(ring);
  await bringBack(ring);
  chapter("Done");
  result(
    `all ${acknowledged.size} objects that were acknowledged were read back whole through the node that had been away`,
  );
}

function at(ring: AtollRing, region: Region): AtollProcess {
  return ring.nodes[REGIONS.indexOf(region)]!;
}

async function put(
  node: AtollProcess,
  path: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
  onSent?: (bytes: number) => void,
): Promise<Answer> {
  const answer = await call({
    method: "PUT",
    url: node.publicUrl + path,
    body,
    headers,
    ...(onSent ? { onSent } : {}),
  });
  if (answer.status === 200 || answer.status === 201) acknowledged.set(path, sha256(body));
  return answer;
}

async function storeFilm(fra: AtollProcess): Promise<void> {
  const film = randomBytes(FILM_BYTES);
  chapter("A file of 64 MiB is sent to Frankfurt: acknowledged once two of three nodes hold it durably");
  command(`curl -T film.bin ${fra.publicUrl}/demo/film.bin`);
  const answer = await put(fra, "/demo/film.bin", film, {}, progressBar("sending", FILM_BYTES));
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.headers.etag, `"${sha256(film)}"`, "the ETag is the SHA-256 of what was sent");
  result(
    `201 in ${answer.seconds.toFixed(2)} s, ${rate(FILM_BYTES, answer.seconds)}, version ${version(answer)}`,
  );
  note(`ETag ${answer.headers.etag}: the SHA-256 of the file, as computed here too`);
}

async function readEverywhere(ring: AtollRing): Promise<void> {
  chapter("It is read in every region, and hashed on arrival");
  for (const region of REGIONS) {
    const { publicUrl } = at(ring, region);
    command(`curl -o film.bin ${publicUrl}/demo/film.bin`);
    const answer = await readChecked(at(ring, region), "/demo/film.bin");
    result(
      `${region} 200 in ${answer.seconds.toFixed(2)} s, ${
        rate(answer.sizeBytes, answer.seconds)
      }, SHA-256 as sent`,
    );
    note(`Cache-Status: ${answer.headers["cache-status"] ?? "none"}`);
    note(`Server-Timing: ${answer.headers["server-timing"] ?? "none"}`);
  }
}

async function createOnly(ring: AtollRing): Promise<void> {
  chapter("Two regions create the same object at the same moment: one wins");
  const path = "/demo/leader";
  for (const region of ["iad", "syd"] as const) {
    command(`curl -T ${region}.txt -H 'If-None-Match: *' ${at(ring, region).publicUrl}${path}`);
  }
  const racers = ["iad", "syd"] as const;
  const answers = await Promise.all(
    racers.map((region) =>
      call({
        method: "PUT",
        url: at(ring, region).publicUrl + path,
        body: Buffer.from(region),
        headers: { "If-None-Match": "*" },
      })
    ),
  );
  const statuses = answers.map((answer) => answer.status).sort((a, b) => a - b);
  assert.deepEqual(statuses, [201, 412], answers.map((answer) => answer.text).join("; "));
  const winner = racers[answers.findIndex((answer) => answer.status === 201)]!;
  acknowledged.set(path, sha256(Buffer.from(winner)));
  for (const [i, region] of racers.entries()) {
    result(
      `${region} ${answers[i]!.status} ${
        answers[i]!.status === 201 ? "created it" : "was told that it exists"
      }`,
    );
  }
  await readChecked(at(ring, "fra"), path);
  note(`fra reads "${winner}"`);
}

async function compareAndSwap(ring: AtollRing): Promise<void> {
  chapter("Compare and swap: a change based on what is current wins, the same again loses");
  const path = "/demo/leader";
  const current = await readChecked(at(ring, "fra"), path);
  const etag = current.headers.etag ?? "";
  command(`curl -T next.txt -H 'If-Match: ${etag.slice(0, 9)}…"' ${at(ring, "fra").publicUrl}${path}`);
  const won = await put(at(ring, "fra"), path, Buffer.from("fra"), { "If-Match": etag });
  assert.equal(won.status, 200, won.text);
  result(`fra 200, version ${version(current)} became ${version(won)}`);
  const lost = await put(at(ring, "syd"), path, Buffer.from("syd"), { "If-Match": etag });
  assert.equal(lost.status, 412, lost.text);
  assert.equal(lost.headers.etag, won.headers.etag);
  result(`syd 412: the answer names the current version ${version(lost)} and ETag, to try again with`);
}

async function loseRegion(ring: AtollRing): Promise<void> {
  const iad = at(ring, "iad");
  chapter("Ashburn is lost: kill -9, with no time to say goodbye");
  command(`kill -9 ${iad.pid}`);
  await iad.kill("SIGKILL");
  for (const region of ["fra", "syd"] as const) {
    const answer = await readChecked(at(ring, region), "/demo/film.bin");
    result(`${region} still reads the film: ${rate(answer.sizeBytes, answer.seconds)}, SHA-256 as sent`);
  }
  command(`curl -T note.txt ${at(ring, "syd").publicUrl}/demo/notes/0`);
  const startedMs = performance.now();
  for (let i = 0; i < SMALL_OBJECTS; i++) {
    const region = i % 2 === 0 ? "fra" : "syd";
    await putAcknowledged(at(ring, region), `/demo/notes/${i}`, randomBytes(1_000 + 10_000 * i));
  }
  await putAcknowledged(at(ring, "syd"), "/demo/while-away.bin", randomBytes(8 << 20));
  const seconds = (performance.now() - startedMs) / 1000;
  result(`${SMALL_OBJECTS + 1} objects written meanwhile by the other two, in ${seconds.toFixed(2)} s`);
}

/** A 503 says that nothing was applied: while the loss is being noticed, one may try again. */
async function putAcknowledged(node: AtollProcess, path: string, body: Uint8Array): Promise<void> {
  let answer: Answer | undefined;
  await until(`${path} is acknowledged`, WRITE_DEADLINE_MS, async () => {
    answer = await put(node, path, body);
    return answer.status !== 503;
  });
  assert.equal(answer!.status, 201, answer!.text);
}

async function bringBack(ring: AtollRing): Promise<void> {
  chapter("Ashburn comes back, with the disk it had");
  const startedMs = performance.now();
  const iad = await ring.restart(REGIONS.indexOf("iad"));
  result(`iad ready in ${((performance.now() - startedMs) / 1000).toFixed(2)} s as ${iad.publicUrl}`);
  command(`for each object: curl ${iad.publicUrl}/demo/… | sha256sum`);
  let bytes = 0;
  for (const path of acknowledged.keys()) bytes += (await readChecked(iad, path)).sizeBytes;
  result(`${acknowledged.size} objects read through iad, ${mebibytes(bytes)}, every SHA-256 as acknowledged`);
  command(`curl ${iad.publicUrl}/metrics`);
  const counts = chunkCounts((await call({ method: "GET", url: `${iad.publicUrl}/metrics` })).text);
  for (const line of counts) note(line);
}

/** The bytes that were acknowledged, or the demo fails. */
async function readChecked(node: AtollProcess, path: string): Promise<Answer> {
  const answer = await call({ method: "GET", url: node.publicUrl + path });
  assert.equal(answer.status, 200, `GET ${path}: ${answer.text}`);
  assert.equal(answer.sha256, acknowledged.get(path), `the bytes of ${path} are those that were sent`);
  return answer;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function version(answer: Answer): string {
  return String(answer.headers["atoll-version"]);
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function rate(bytes: number, seconds: number): string {
  return `${(bytes / 1e6 / seconds).toFixed(0)} MB/s`;
}

const directory = mkdtempSync(join(tmpdir(), "atoll-demo-"));
// At exit and not in `finally`: it holds for Ctrl-C too. The nodes are killed by then.
process.on("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
await demo(directory);
