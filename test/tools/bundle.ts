/** The one file to deploy: src/main.ts with everything it imports, for Node and Deno alike. */
import { build } from "esbuild";
import { join } from "node:path";
import { PROJECT } from "./project.ts";

/** undici asks for node:* by `require`, which an ES module has not got. */
const BANNER = 'import { createRequire as atollCreateRequire } from "node:module";\n' +
  "const require = atollCreateRequire(import.meta.url);";

/** `version`: of the protocol between nodes; a build of it understands no other. By default what the source says. */
export async function bundle(outfile: string, version?: number): Promise<{ sizeBytes: number }> {
  const common = {
    absWorkingDir: PROJECT,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "es2024",
  } as const;
  // Threads load their own module and no more.
  const worker = async (name: string): Promise<string> => {
    const built = await build({
      ...common,
      entryPoints: [join("src", "adapters", name)],
      // Modules of which what is not used can be left out: as one CommonJS file hash-wasm brings every hash there is.
      mainFields: ["module", "main"],
      write: false,
      minifyWhitespace: true,
      logLevel: "warning",
    });
    return JSON.stringify(built.outputFiles[0]!.text);
  };
  const result = await build({
    ...common,
    entryPoints: [join("src", "main.ts")],
    outfile,
    define: {
      ATOLL_CATALOG_WORKER: await worker("catalog-worker.ts"),
      ATOLL_CHUNK_FILE_WORKER: await worker("chunk-file-worker.ts"),
      ATOLL_HASH_WORKER: await worker("hash-worker.ts"),
      ...(version !== undefined && { ATOLL_ONLY_PEER_PROTOCOL: String(version) }),
    },
    banner: { js: BANNER },
    minify: false,
    sourcemap: false,
    legalComments: "inline",
    logLevel: "warning",
    metafile: true,
  });
  const sizes = Object.values(result.metafile.outputs).map((output) => output.bytes);
  return { sizeBytes: sizes.reduce((sum, bytes) => sum + bytes, 0) };
}
