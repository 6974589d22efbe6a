/**
 * Small JSON documents that the ring keeps for itself: settings, keys. They are objects of a bucket that no client can
 * name, read and written as any other, so that all that holds for objects holds for them.
 */
import { type Name, objectName, RING_BUCKET } from "../core/names.ts";
import type { WriteConditions } from "../core/precondition.ts";
import { assert, AtollError } from "../errors.ts";
import type { Clock, Log } from "../ports.ts";
import { forEach } from "./background.ts";
import { KnownDocuments } from "./known-documents.ts";
import { type Listings, PAGE_BYTES_MAX } from "./list-objects.ts";
import type { Conflict, DeleteOutcome, Objects, ObjectVersion } from "./objects.ts";

/** They travel with a register's promise, and are held in memory by the thousand. */
export const DOCUMENT_BYTES_MAX = 64 << 10;
const OF_RING = objectName(RING_BUCKET, "");
const READS_AT_ONCE = 16;
const STRONGLY = { noCache: true, onlyIfCached: false } as const;

/** What zod's schemas are. */
interface DocumentSchema<T> {
  safeParse(
    value: unknown,
  ): { readonly success: true; readonly data: T } | {
    readonly success: false;
    readonly error: { readonly message: string };
  };
}

export interface RingDocument<T> {
  readonly id: string;
  readonly version: number;
  /** Of its text: with quotes around it, its ETag. */
  readonly sha256: string;
  readonly value: T;
}

export type DocumentWrite =
  | { readonly kind: "stored"; readonly created: boolean; readonly version: number; readonly sha256: string }
  | Conflict;

export interface DocumentPage<T> {
  readonly documents: readonly RingDocument<T>[];
  /** For the next page's `after`; null at the end. */
  readonly next: string | null;
}

export interface RingDocumentsDeps {
  objects: Objects;
  listings: Listings;
  clock: Clock;
  log: Log;
}

export class RingDocuments {
  readonly #deps: RingDocumentsDeps;
  readonly #kinds = new Map<string, { outdated(id: string): void }>();

  constructor(deps: RingDocumentsDeps) {
    this.#deps = deps;
  }

  /** `kind`: what stands before the slash of their keys; each is asked for once. */
  ofKind<T>(kind: string, schema: DocumentSchema<T>): DocumentsOfKind<T> {
    assert(!this.#kinds.has(kind) && !kind.includes("/"), `documents of kind ${kind} have one owner`);
    const documents = new DocumentsOfKind(this.#deps, kind, schema);
    this.#kinds.set(kind, documents);
    return documents;
  }

  /** A newer version of what has that name exists. */
  outdated(name: Name): void {
    if (!name.startsWith(OF_RING)) return;
    const key = name.slice(OF_RING.length);
    const slash = key.indexOf("/");
    this.#kinds.get(key.slice(0, slash))?.outdated(key.slice(slash + 1));
  }
}

export class DocumentsOfKind<T> {
  readonly #deps: RingDocumentsDeps;
  readonly #kind: string;
  readonly #schema: DocumentSchema<T>;
  readonly #known: KnownDocuments<RingDocument<T>>;

  constructor(deps: RingDocumentsDeps, kind: string, schema: DocumentSchema<T>) {
    this.#deps = deps;
    this.#kind = kind;
    this.#schema = schema;
    this.#known = new KnownDocuments(deps.clock, (id) => this.read(id));
  }

  /**
   * As it is now; undefined for none. Rejects with `no-quorum`, and with `internal` where what stands there is not of the
   * form that this version of the program knows.
   */
  async read(id: string, trace?: string): Promise<RingDocument<T> | undefined> {
    const { objects } = this.#deps;
    const name = this.#name(id);
    const located = await objects.locate(name, STRONGLY, trace);
    if (located.kind !== "found") return undefined;
    return this.#parse(id, located.object, await this.#text(name, located.object, trace));
  }

  /**
   * As it was a few seconds ago at most; a promise only where it must be asked for. Where nobody can be asked, what was
   * known last, and where nothing was, rejects as `read` does.
   */
  known(id: string): RingDocument<T> | undefined | Promise<RingDocument<T> | undefined> {
    return this.#known.get(id);
  }

  /** Whether `known` would give it at once; asks nobody. */
  isAtHand(id: string): boolean {
    return this.#known.isAtHand(id);
  }

  /** Durable when it resolves with `stored`. Rejects as a PUT does; `too-large` beyond `DOCUMENT_BYTES_MAX`. */
  async write(id: string, value: T, conditions: WriteConditions, trace?: string): Promise<DocumentWrite> {
    assert(this.#schema.safeParse(value).success, `what is written as ${this.#kind}/${id} can be read`);
    const bytes = new TextEncoder().encode(JSON.stringify(value));
    const outcome = await this.#deps.objects.put({
      name: this.#name(id),
      body: once(bytes),
      sizeBytes: bytes.length,
      maxBytes: DOCUMENT_BYTES_MAX,
      digests: [],
      headers: { "content-type": "application/json" },
      trace,
    }, conditions);
    if (outcome.kind === "conflict") return outcome;
    const { kind, created, version, manifest: { sha256 } } = outcome;
    return { kind, created, version, sha256 };
  }

  async delete(id: string, conditions: WriteConditions, trace?: string): Promise<DeleteOutcome> {
    return await this.#deps.objects.delete(this.#name(id), conditions, trace);
  }

  /**
   * In order of ids, those that begin with `prefix` and are greater than `after` ("" for all), at most `limit`, and fewer
   * where they are large.
   */
  async list(
    { prefix = "", after = "", limit, trace }: {
      prefix?: string;
      after?: string;
      limit: number;
      trace?: string;
    },
  ): Promise<DocumentPage<T>> {
    const page = await this.#deps.listings.list({
      prefix: this.#name(prefix),
      after: after === "" ? "" : this.#name(after),
      limit,
      ofRing: true,
      trace,
    });
    let bytes = 0;
    const fitting = page.objects.findIndex(({ object }) => (bytes += object!.size) >= PAGE_BYTES_MAX) + 1;
    const isCut = fitting > 0 && fitting < page.objects.length;
    const ids = page.objects.slice(0, fitting || undefined).map(({ name }) => this.#idOf(name));
    const found = new Map<string, RingDocument<T>>();
    await forEach(ids, READS_AT_ONCE, async (id) => {
      const document = await this.read(id, trace);
      if (document) found.set(id, document); // or it was deleted meanwhile
    });
    return {
      documents: ids.flatMap((id) => found.get(id) ?? []),
      next: isCut ? ids.at(-1)! : page.next === null ? null : this.#idOf(page.next),
    };
  }

  /** A newer version of it exists. */
  outdated(id: string): void {
    this.#known.outdated(id);
  }

  #name(id: string): Name {
    return objectName(RING_BUCKET, `${this.#kind}/${id}`);
  }

  #idOf(name: Name): string {
    return name.slice(this.#name("").length);
  }

  async #text(name: Name, object: ObjectVersion, trace: string | undefined): Promise<string> {
    const { size } = object.manifest;
    const decoder = new TextDecoder();
    let text = "";
    const { bytes } = await this.#deps.objects.open(name, object, 0, Math.max(0, size - 1), trace);
    for await (const part of bytes) text += decoder.decode(part, { stream: true });
    return text + decoder.decode();
  }

  #parse(id: string, { version, manifest: { sha256 } }: ObjectVersion, text: string): RingDocument<T> {
    const parsed = this.#schema.safeParse(jsonOf(text));
    if (parsed.success) return { id, version, sha256, value: parsed.data };
    // Half of it would be worse than none: what this version does not know may be what forbids.
    const message = `wanted the ring's document ${this.#kind}/${id} in a form that this version knows, got ` +
      `version ${version} of it, which a newer one may have written: ${parsed.error.message.slice(0, 500)}`;
    this.#deps.log.error("a document of the ring cannot be read", {
      document: `${this.#kind}/${id}`,
      version,
    });
    throw new AtollError("internal", message);
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // which no schema takes
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
