/**
 * The import directions and the purity of core/ and node/ are rules of the linter. A rule that is misspelt catches
 * nothing and says nothing, so each is shown a file that breaks it, and one that does not.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { binary, PROJECT } from "./project.ts";

interface Case {
  readonly file: string;
  readonly source: string;
  /** The rule that must catch it; undefined when the file is in order. */
  readonly rule?: string;
}

const IMPORTS = "no-restricted-imports";
const GLOBALS = "no-restricted-globals";
const PROPERTIES = "no-restricted-properties";

const forbiddenImports: readonly (readonly [string, string])[] = [
  ["src/core", "../errors.ts"],
  ["src/core", "node:crypto"],
  ["src/core", "hono"],
  ["src/ports.ts", "./errors.ts"],
  ["src/ports.ts", "node:stream"],
  ["src/node", "node:fs/promises"],
  ["src/node", "undici"],
  ["src/node", "zod"],
  ["src/node", "../http/app.ts"],
  ["src/node", "../adapters/clock.ts"],
  ["src/node", "../config.ts"],
  ["src/node", "../main.ts"],
  ["src/node/repair", "node:fs/promises"],
  ["src/node/repair", "../../adapters/clock.ts"],
  ["src/node/repair", "../../http/app.ts"],
  ["src/node/repair", "../../config.ts"],
  ["src/node/layout", "undici"],
  ["src/node/layout", "../../http/app.ts"],
  ["src/http", "../adapters/clock.ts"],
  ["src/http", "node:http2"],
  ["src/http", "undici"],
  ["src/http", "node:crypto"],
  ["src/http/peer-a.ts", "node:http2"],
  ["src/http/peer-b.ts", "node:child_process"],
  ["src/http/peer-c.ts", "../adapters/clock.ts"],
  ["src/http", "../main.ts"],
  ["src/adapters", "../node/node.ts"],
  ["src/adapters", "../http/public-app.ts"],
  ["src/adapters", "../config.ts"],
  ["src/adapters", "../../test/helpers/clock.ts"],
  ["src/config.ts", "./node/node.ts"],
  ["src/config.ts", "./cli/cli.ts"],
  ["src/cli", "../node/node.ts"],
  ["src/cli", "../http/problem.ts"],
  ["src/cli", "../adapters/hashing.ts"],
  ["src/cli", "../config.ts"],
  ["src/cli", "../ports.ts"],
  ["src/cli", "../main.ts"],
  ["src/cli", "hono"],
  ["src/cli", "lru-cache"],
  ["src/cli", "hash-wasm"],
  ["src/core", "../cli/units.ts"],
  ["src/node", "../cli/units.ts"],
  ["src/node/repair", "../../cli/units.ts"],
  ["src/http", "../cli/units.ts"],
  ["src/http/peer-f.ts", "../cli/units.ts"],
  ["src/adapters", "../cli/units.ts"],
  ["src/ports.ts", "./cli/units.ts"],
  ["src/config-discovery.ts", "./adapters/clock.ts"],
  ["src/main.ts", "../test/helpers/clock.ts"],
  ["test/node", "../../src/main.ts"],
];

const allowedImports: readonly (readonly [string, string])[] = [
  ["src/core", "./ballot.ts"],
  ["src/node", "./replica.ts"],
  ["src/node", "../core/ballot.ts"],
  ["src/node", "../ports.ts"],
  ["src/node", "../errors.ts"],
  ["src/node", "lru-cache"],
  ["src/node", "./repair/hints.ts"],
  ["src/node/repair", "../replica.ts"],
  ["src/node/layout", "../repair/recovery.ts"],
  ["src/node/repair", "../../core/ballot.ts"],
  ["src/node/repair", "../../errors.ts"],
  ["src/http", "../node/node.ts"],
  ["src/http", "../core/range.ts"],
  ["src/http", "hono"],
  ["src/http", "hono/streaming"],
  ["src/http", "zod"],
  ["src/http", "@hono/node-server"],
  ["src/http/peer-d.ts", "node:crypto"],
  ["src/http/peer-e.ts", "node:buffer"],
  ["src/adapters", "node:fs/promises"],
  ["src/adapters", "undici"],
  ["src/adapters", "hash-wasm"],
  ["src/adapters", "../http/peer-app.ts"],
  ["src/adapters", "../ports.ts"],
  ["src/cli", "./units.ts"],
  ["src/cli", "../core/names.ts"],
  ["src/cli", "../errors.ts"],
  ["src/cli", "node:fs/promises"],
  ["src/cli", "commander"],
  ["src/cli", "log-update"],
  ["src/cli", "undici"],
  ["src/cli", "zod"],
  ["src/main.ts", "./adapters/clock.ts"],
  ["src/main.ts", "./cli/cli.ts"],
  ["test/node", "../../src/node/node.ts"],
];

const forbiddenInPure: readonly (readonly [string, string])[] = [
  ["export const now = () => Date.now();", GLOBALS],
  ["export const now = () => new Date();", GLOBALS],
  ["export const roll = () => Math.random();", PROPERTIES],
  ["export const soon = (run: () => void) => setTimeout(run, 1);", GLOBALS],
  ["export const often = (run: () => void) => setInterval(run, 1);", GLOBALS],
  ["export const soon = (run: () => void) => setImmediate(run);", GLOBALS],
  ["export const soon = (run: () => void) => queueMicrotask(run);", GLOBALS],
  ["export const now = () => performance.now();", GLOBALS],
  ['export const get = () => fetch("http://a");', GLOBALS],
  ["export const id = () => crypto.randomUUID();", GLOBALS],
  ["export const env = () => process.env;", GLOBALS],
  ['export const bytes = () => Buffer.from("");', GLOBALS],
  ["export const limit = () => AbortSignal.timeout(1);", PROPERTIES],
  ["export const now = () => globalThis.Date.now();", GLOBALS],
];

const forbiddenAnywhere: readonly (readonly [string, string])[] = [
  ["async function a() {}\nexport function b() { a(); }", "no-floating-promises"],
  ["export function b(run: (f: () => void) => void) { run(async () => {}); }", "no-misused-promises"],
  ["export const a = (x: any) => x;", "no-explicit-any"],
  ["export const a = (x: number) => x == 1;", "eqeqeq"],
  ["export function a(f: () => void) { try { f(); } catch {} }", "no-empty"],
  ["// @ts-ignore\nexport const a: string = 1;", "ban-ts-comment"],
  ["export const a = () => console.log(1);", "no-console"],
];

function cases(): Case[] {
  let count = 0;
  const name = (place: string) => place.endsWith(".ts") ? place : `${place}/case-${++count}.ts`;
  const from = (path: string) => `import { a } from "${path}";\nexport const b = a;\n`;
  return [
    ...forbiddenImports.map(([place, path]) => ({
      file: name(place),
      source: from(path),
      rule: IMPORTS,
    })),
    ...allowedImports.map(([place, path]) => ({ file: name(place), source: from(path) })),
    ...forbiddenInPure.flatMap(([source, rule]) =>
      ["src/core", "src/node"].map((place) => ({ file: name(place), source, rule }))
    ),
    ...forbiddenAnywhere.map(([source, rule]) => ({ file: name("src/adapters"), source, rule })),
    { file: "src/http/ring-a.ts", source: 'export { b as a } from "./ring-b.ts";\n', rule: "no-cycle" },
    { file: "src/http/ring-b.ts", source: 'export { a as b } from "./ring-a.ts";\n', rule: "no-cycle" },
  ];
}

/** A small project with one file per case; each file that shares its name with another lives in its own copy. */
function lay(directory: string, list: readonly Case[]): Map<string, Case> {
  const placed = new Map<string, Case>();
  for (const item of list) {
    let copy = 0;
    while (placed.has(join(`${copy}`, item.file))) copy++;
    const path = join(`${copy}`, item.file);
    placed.set(path, item);
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), item.source);
  }
  return placed;
}

interface Finding {
  readonly code: string;
  readonly filename: string;
}

function lint(directory: string): Finding[] {
  const run = spawnSync(binary("oxlint"), ["--format=json", "src", "test"], {
    cwd: directory,
    encoding: "utf8",
  });
  const report = JSON.parse(run.stdout) as { diagnostics: Finding[] };
  return report.diagnostics;
}

const directories: string[] = [];
after(() => {
  for (const directory of directories) rmSync(directory, { recursive: true });
});

test("the linter catches every forbidden import, global and habit, and lets the allowed ones pass", () => {
  const root = mkdtempSync(join(tmpdir(), "atoll-lint-"));
  directories.push(root);
  const placed = lay(root, cases());
  const roots = new Set([...placed.keys()].map((path) => path.slice(0, path.indexOf("/"))));
  const found = new Map<string, string[]>();
  for (const copy of roots) {
    const directory = join(root, copy);
    copyFileSync(join(PROJECT, ".oxlintrc.json"), join(directory, ".oxlintrc.json"));
    copyFileSync(join(PROJECT, "tsconfig.json"), join(directory, "tsconfig.json"));
    symlinkSync(join(PROJECT, "node_modules"), join(directory, "node_modules"));
    for (const { filename, code } of lint(directory)) {
      const path = join(copy, filename);
      found.set(path, [...(found.get(path) ?? []), code]);
    }
  }
  for (const [path, { rule, source }] of placed) {
    const codes = found.get(path) ?? [];
    const ours = (code: string) => code.includes("no-restricted-") || code.includes("no-cycle");
    if (rule === undefined) {
      assert.deepEqual(codes.filter(ours), [], `${path} is in order but was reported:\n${source}`);
    } else {
      assert.ok(
        codes.some((code) => code.includes(`(${rule})`)),
        `${path} breaks ${rule}, reported was: ${codes.join(", ") || "nothing"}\n${source}`,
      );
    }
  }
});
