import assert from "node:assert/strict";
import { test } from "node:test";
import { command } from "../helpers/command-line.ts";

interface Described {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly { readonly flags: string; readonly description: string }[];
  readonly commands?: readonly Described[];
}

test("every command has its help: what it is, every option in words, and examples", async () => {
  const all = await command(["help", "--json"]);
  assert.equal(all.code, 0, all.stderr);
  const [program] = all.documents() as unknown as [Described];
  const names: string[] = [];
  const look = async (path: readonly string[], about: Described) => {
    names.push(path.join(" "));
    assert.notEqual(about.summary, "", path.join(" "));
    for (const { flags, description } of about.options) assert.notEqual(description, "", flags);
    const help = await command(["help", ...path]);
    assert.equal(help.code, 0, help.stderr);
    assert.match(help.stdout.toString(), /Usage: atoll/);
    assert.match(help.stdout.toString(), /\nExamples:\n {2}atoll/, path.join(" "));
    if (path.length > 0 && path[0] !== "serve") {
      const same = await command([...path, "--help"]);
      assert.equal(same.stdout.toString(), help.stdout.toString(), path.join(" "));
    }
    for (const next of about.commands ?? []) await look([...path, next.name], next);
  };
  await look([], program);
  assert.deepEqual(names, [
    "",
    "serve",
    "status",
    "put",
    "get",
    "ls",
    "prewarm",
    "rm",
    "presign",
    "ring",
    "ring status",
    "ring plan",
    "ring apply",
    "ring join",
    "ring drain",
    "ring remove",
    "ring replace",
    "ring weight",
    "ring zone",
    "ring replicas",
    "ring force-recover",
    "help",
  ]);
});

test("exit codes stand in the help, and help on nothing is a usage failure", async () => {
  const help = await command(["help"]);
  for (const code of [0, 1, 2, 3, 4, 5, 6]) {
    assert.match(help.stdout.toString(), new RegExp(`^ {2}${code} {2}\\S`, "m"));
  }
  const none = await command(["help", "frob"]);
  assert.equal(none.code, 2);
  assert.equal((await command(["frob", "--json"])).stderr.includes('"code":"usage"'), true);
});
