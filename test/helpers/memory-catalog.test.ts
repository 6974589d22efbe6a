import { catalogConformance } from "../conformance/catalog.ts";
import { createMemoryCatalog } from "./memory-catalog.ts";

catalogConformance("MemoryCatalog", async () => {
  const catalog = createMemoryCatalog();
  return { catalog, close: () => catalog.close() };
});
