/** A process to be killed while it holds a data directory. */
import { argv, stdin, stdout } from "node:process";
import { openDataDirectory } from "../../../src/adapters/data-directory.ts";

const directory = await openDataDirectory({ path: argv[2]! });
await directory.saveNodeId("held");
stdout.write("holding\n");
stdin.resume(); // alive until it is killed
