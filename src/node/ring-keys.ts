/**
 * The access keys that an admin makes at run time, in the ring's documents.
 *
 * They lie in 16 documents, by their IDs' hash, and not in one each: then somebody who makes up IDs has nothing read but
 * what is known anyway, and can drive no key out of memory. A change is told to all nodes at once; a node that was not told
 * knows of it after 5 s at most, while it reaches a majority (see known-documents.ts). One that reaches none goes on by
 * what it knew.
 */
import { type Grant, keyIdProblem, parseGrants } from "../core/grants.ts";
import { SIGNING_LABEL } from "../core/presign.ts";
import { AtollError } from "../errors.ts";
import type { Clock, Random, Secrets } from "../ports.ts";
import type { DocumentsOfKind, RingDocuments } from "./ring-documents.ts";

/** What is kept of a key: see keys.ts. */
interface KeptKey {
  readonly grants: readonly Grant[];
  readonly secretDigest: string;
  readonly signingKey: string;
  readonly createdMs: number;
}

interface KeyDocument {
  readonly keys: Readonly<Record<string, KeptKey>>;
}

export interface RingKey extends KeptKey {
  readonly id: string;
}

export interface RingKeysDeps {
  readonly documents: RingDocuments;
  readonly secrets: Secrets;
  readonly random: Random;
  readonly clock: Clock;
}

/** Of one document, so that it stays below `DOCUMENT_BYTES_MAX`; 16 of them hold as many as an operator can mean. */
const DOCUMENT_CHARS_MAX = 60_000;
const SECRET_BYTES = 32;
const ATTEMPTS_MAX = 10;
/** The first digits of hashes. */
const SHARDS = Array.from("0123456789abcdef");
const HEX = /^[0-9a-f]{64}$/;

export class RingKeys {
  readonly #deps: RingKeysDeps;
  readonly #documents: DocumentsOfKind<KeyDocument>;

  constructor(deps: RingKeysDeps) {
    this.#deps = deps;
    this.#documents = deps.documents.ofKind("keys", { safeParse: parseDocument });
  }

  /** As it was a few seconds ago at most; a promise only where it must be asked for. Rejects with `no-quorum`. */
  find(id: string): RingKey | undefined | Promise<RingKey | undefined> {
    const known = this.#documents.known(this.#shardOf(id));
    return known instanceof Promise
      ? known.then((document) => keyIn(document?.value, id))
      : keyIn(known?.value, id);
  }

  /** As it is now. */
  async read(id: string): Promise<RingKey | undefined> {
    return keyIn((await this.#documents.read(this.#shardOf(id)))?.value, id);
  }

  /** In order of their IDs. */
  async list(): Promise<RingKey[]> {
    const documents = await Promise.all(SHARDS.map((shard) => this.#documents.read(shard)));
    return documents.flatMap((document) =>
      Object.entries(document?.value.keys ?? {}).map(([id, key]) => ({ ...key, id }))
    ).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** With a new secret, which is nowhere to be had again; undefined when there is one of that ID. Durable when it resolves. */
  async create(
    id: string | undefined,
    grants: readonly Grant[],
  ): Promise<RingKey & { secret: string } | undefined> {
    const { secrets, random, clock } = this.#deps;
    const newId = id ?? `k${random.hex(8)}`;
    const secret = random.hex(SECRET_BYTES);
    const key: KeptKey = {
      grants,
      secretDigest: secrets.digest(secret),
      signingKey: secrets.mac(secret, SIGNING_LABEL),
      createdMs: Math.round(clock.wallMs()),
    };
    const isNew = await this.#change(newId, (before) => (before ? undefined : key));
    return isNew ? { ...key, id: newId, secret } : undefined;
  }

  /** Whether there was one to be given other grants. */
  async regrant(id: string, grants: readonly Grant[]): Promise<boolean> {
    return await this.#change(id, (before) => before && { ...before, grants });
  }

  /** Whether there was one. */
  async remove(id: string): Promise<boolean> {
    return await this.#change(id, (before) => before && null);
  }

  /** `decide`: undefined changes nothing, null removes. Whether something was changed. */
  async #change(
    id: string,
    decide: (before: KeptKey | undefined) => KeptKey | null | undefined,
  ): Promise<boolean> {
    const shard = this.#shardOf(id);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const document = await this.#documents.read(shard);
      const { [id]: before, ...others } = document?.value.keys ?? {};
      const after = decide(before);
      if (after === undefined) return false;
      const value: KeyDocument = { keys: after ? { ...others, [id]: after } : others };
      if (JSON.stringify(value).length > DOCUMENT_CHARS_MAX) {
        throw new AtollError(
          "too-large",
          `wanted fewer keys or grants, got more than ${DOCUMENT_CHARS_MAX} characters`,
        );
      }
      const ifVersion = document?.version ?? 0;
      const outcome = await this.#documents.write(shard, value, {
        ifMatch: undefined,
        ifNoneMatch: undefined,
        ifVersion,
      });
      if (outcome.kind === "stored") return true;
    }
    throw new AtollError("overloaded", "wanted a key that nobody else changes now, got one that others do");
  }

  #shardOf(id: string): string {
    return this.#deps.secrets.digest(id)[0]!;
  }
}

function keyIn(document: KeyDocument | undefined, id: string): RingKey | undefined {
  const key = document && Object.hasOwn(document.keys, id) ? document.keys[id] : undefined;
  return key && { ...key, id };
}

/** By hand: what does not fit might be a limit that a newer version knows, so that all of it is refused. */
function parseDocument(value: unknown) {
  const refused = (message: string) => ({ success: false as const, error: { message } });
  const { keys, ...more } = (value ?? {}) as Record<string, unknown>;
  if (typeof keys !== "object" || keys === null || Object.keys(more).length > 0) {
    return refused("wanted { keys }");
  }
  const parsed: Record<string, KeptKey> = {};
  for (const [id, key] of Object.entries(keys)) {
    const { grants, secretDigest, signingKey, createdMs, ...others } = (key ?? {}) as Record<string, unknown>;
    const granted = parseGrants(grants);
    const isWhole = keyIdProblem(id) === undefined && typeof granted !== "string" && isHex(secretDigest) &&
      isHex(signingKey) && Number.isSafeInteger(createdMs) && Object.keys(others).length === 0;
    if (!isWhole) return refused("wanted keys of { grants, secretDigest, signingKey, createdMs }");
    parsed[id] = { grants: granted, secretDigest, signingKey, createdMs: createdMs as number };
  }
  return { success: true as const, data: { keys: parsed } };
}

function isHex(value: unknown): value is string {
  return typeof value === "string" && HEX.test(value);
}
