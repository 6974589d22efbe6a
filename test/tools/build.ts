/**
 * `npm run build`: dist/atoll.mjs, or the file that is named. A number after it, which only tests give: the only version
 * of the protocol between nodes that the build is to understand.
 */
import { bundle } from "./bundle.ts";

const outfile = process.argv[2] ?? "dist/atoll.mjs";
const { sizeBytes } = await bundle(
  outfile,
  process.argv[3] === undefined ? undefined : Number(process.argv[3]),
);
console.log(
  `${outfile} ${
    (sizeBytes / 1024).toFixed(0)
  } KiB: run it with "node ${outfile}" or "deno run -A ${outfile}"`,
);
