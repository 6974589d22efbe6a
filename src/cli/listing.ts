/** A node's listings, page after page, never more than one page in memory. */
import { z } from "zod";
import type { NodeClient } from "./node-client.ts";

const PAGE_ENTRIES = 1_000;

const listedObject = z.object({
  key: z.string(),
  size: z.number(),
  etag: z.string(),
  version: z.number(),
  lastModified: z.string(),
  contentType: z.string().nullish(),
});
const objectsPage = z.object({
  objects: z.array(listedObject),
  prefixes: z.array(z.string()),
  next: z.string().nullable(),
});
const bucketsPage = z.object({
  buckets: z.array(z.object({ name: z.string() })),
  next: z.string().nullable(),
});

export type ListedObject = z.infer<typeof listedObject>;

export interface ObjectsPage {
  readonly objects: readonly ListedObject[];
  readonly prefixes: readonly string[];
}

export async function* listObjects(
  client: NodeClient,
  bucket: string,
  prefix: string,
  options: { readonly isRecursive: boolean },
): AsyncGenerator<ObjectsPage> {
  let after: string | null = "";
  do {
    const query = new URLSearchParams({ prefix, limit: String(PAGE_ENTRIES) });
    if (!options.isRecursive) query.set("delimiter", "/");
    if (after !== "") query.set("after", after);
    const page: z.infer<typeof objectsPage> = await client.json(
      { method: "GET", path: `/${bucket}?${query.toString()}` },
      objectsPage,
    );
    yield page;
    after = page.next;
  } while (after !== null);
}

export async function* listBuckets(client: NodeClient): AsyncGenerator<readonly string[]> {
  let after: string | null = "";
  do {
    const query = new URLSearchParams({ limit: String(PAGE_ENTRIES) });
    if (after !== "") query.set("after", after);
    const page: z.infer<typeof bucketsPage> = await client.json(
      { method: "GET", path: `/?${query.toString()}` },
      bucketsPage,
    );
    yield page.buckets.map(({ name }) => name);
    after = page.next;
  } while (after !== null);
}
