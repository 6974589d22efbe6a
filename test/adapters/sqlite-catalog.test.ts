import { join } from "node:path";
import { openSqliteCatalog } from "../../src/adapters/sqlite-catalog.ts";
import { catalogConformance } from "../conformance/catalog.ts";
import { temporaryDirectory } from "../helpers/temporary-directory.ts";

catalogConformance("SqliteCatalog", async () => {
  const directory = temporaryDirectory();
  const path = join(directory.path, "catalog.db");
  let catalog = await openSqliteCatalog({ path });
  return {
    catalog,
    async reopen() {
      await catalog.close();
      return catalog = await openSqliteCatalog({ path });
    },
    async close() {
      await catalog.close();
      directory[Symbol.dispose]();
    },
  };
});
