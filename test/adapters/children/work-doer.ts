/** The work that WorkThread is tested with. As a program: asks once, says that it was answered, and has nothing left to do. */
import { argv, exit, stdout } from "node:process";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";
import { serveWork, WorkThread } from "../../../src/adapters/work-thread.ts";
import { AtollError } from "../../../src/errors.ts";

export type WorkQuestion =
  | { readonly type: "echo"; readonly value: unknown }
  | { readonly type: "fault" | "bug" | "never" | "die" };

export const WORKER = { role: "test", module: import.meta.url, bundled: undefined };

serveWork("test", (question: WorkQuestion): unknown => {
  switch (question.type) {
    case "echo":
      return question.value;
    case "fault":
      throw new AtollError("storage-full", "wanted room");
    case "bug":
      throw new TypeError("a bug");
    case "never":
      return new Promise(() => {});
    case "die":
      exit(1);
  }
});

if (isMainThread && argv[1] === fileURLToPath(import.meta.url)) {
  await new WorkThread<WorkQuestion, unknown>(WORKER).ask({ type: "echo", value: 1 });
  stdout.write("answered\n");
}
