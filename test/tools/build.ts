/** `npm run build`: dist/atoll.mjs, or the file that is named. */
import { bundle } from "./bundle.ts";

const outfile = process.argv[2] ?? "dist/atoll.mjs";
const { sizeBytes } = await bundle(outfile);
console.log(
  `${outfile} ${
    (sizeBytes / 1024).toFixed(0)
  } KiB: run it with "node ${outfile}" or "deno run -A ${outfile}"`,
);
