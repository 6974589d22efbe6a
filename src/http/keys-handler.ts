/** `/_/keys…`: an admin's view of the access keys. Secrets leave here once, when they are made, and nothing brings them back. */
import { z } from "zod";
import { type Grant, keyIdProblem, parseGrants } from "../core/grants.ts";
import { AtollError } from "../errors.ts";
import type { Key, Keys } from "../node/keys.ts";
import type { RingKeys } from "../node/ring-keys.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import type { Manner } from "./credentials.ts";
import { jsonBody } from "./json-body.ts";
import { problem } from "./problem.ts";
import type { PublicRequest } from "./request.ts";

const PAGE = "/_/keys";
/** 64 grants with prefixes of 1 KiB, and then some. */
const BODY_BYTES_MAX = 128 << 10;

const creation = z.strictObject({ id: z.string().optional(), grants: z.unknown() });
const change = z.strictObject({ grants: z.unknown() });

/** What may be asked of the page; undefined for one that is not the keys'. */
export function allowOfKeys(path: string): string | undefined {
  if (path === PAGE) return "GET, HEAD, POST, OPTIONS";
  return path.startsWith(`${PAGE}/`) ? "GET, HEAD, PUT, DELETE, OPTIONS" : undefined;
}

/** Undefined for a method that the page does not know. */
export function handleKeys(
  request: PublicRequest,
  path: string,
  keys: Keys<Manner> | undefined,
): Promise<Answer> | undefined {
  const pages = new KeyPages(request, keys);
  const reads = request.method === "GET" || request.method === "HEAD";
  if (path === PAGE) return reads ? pages.list() : request.method === "POST" ? pages.create() : undefined;
  const id = path.slice(PAGE.length + 1);
  if (reads) return pages.show(id);
  if (request.method === "PUT") return pages.change(id);
  return request.method === "DELETE" ? pages.remove(id) : undefined;
}

class KeyPages {
  readonly #request: PublicRequest;
  readonly #keys: Keys<Manner> | undefined;

  constructor(request: PublicRequest, keys: Keys<Manner> | undefined) {
    this.#request = request;
    this.#keys = keys;
  }

  async list(): Promise<Answer> {
    const { configured, ring } = this.#open();
    const own = configured.map(({ id, grants }) => ({ id, origin: "configuration", grants }));
    return jsonAnswer(200, { keys: [...own, ...(await ring.list()).map(shown)] });
  }

  async show(id: string): Promise<Answer> {
    const { configured, ring } = this.#open();
    const own = configured.find((key) => key.id === id);
    if (own) return jsonAnswer(200, { id, origin: "configuration", grants: own.grants });
    const key = keyIdProblem(id) === undefined ? await ring.read(id) : undefined;
    return key ? jsonAnswer(200, shown(key)) : this.#unknown();
  }

  async create(): Promise<Answer> {
    const { configured, ring } = this.#open();
    const { id, grants } = await jsonBody(this.#request, creation, BODY_BYTES_MAX);
    if (id !== undefined) checkId(id);
    const granted = checkedGrants(grants);
    const isTaken = configured.some((key) => key.id === id);
    const key = isTaken ? undefined : await ring.create(id, granted);
    if (!key) {
      return problem(
        "precondition-failed",
        "wanted an ID that no key has, got that of another",
        this.#request.id,
      );
    }
    return jsonAnswer(201, { ...shown(key), secret: key.secret }, { Location: `${PAGE}/${key.id}` });
  }

  async change(id: string): Promise<Answer> {
    const ring = this.#ofRing(id);
    const { grants } = await jsonBody(this.#request, change, BODY_BYTES_MAX);
    const granted = checkedGrants(grants);
    return await ring.regrant(id, granted) ? jsonAnswer(200, { id, grants: granted }) : this.#unknown();
  }

  async remove(id: string): Promise<Answer> {
    await this.#ofRing(id).remove(id);
    return { status: 204, headers: { "Cache-Control": "no-store" } };
  }

  #open(): { configured: readonly Key[]; ring: RingKeys } {
    const { configured, ring } = this.#keys ?? {};
    if (configured && ring) return { configured, ring };
    // A key would look like a lock, on a door that is open.
    throw new AtollError(
      "refused",
      "wanted a node that asks for credentials (ATOLL_KEYS), got one that is open",
    );
  }

  #ofRing(id: string): RingKeys {
    const { configured, ring } = this.#open();
    checkId(id);
    if (!configured.some((key) => key.id === id)) return ring;
    throw new AtollError(
      "refused",
      "wanted a key of the ring, got one of this node's configuration: change it there",
    );
  }

  #unknown(): Answer {
    return problem("not-found", "wanted the ID of a key, got one that none has", this.#request.id);
  }
}

function shown({ id, grants, createdMs }: { id: string; grants: readonly Grant[]; createdMs: number }) {
  return { id, origin: "ring", grants, created: new Date(createdMs).toISOString() };
}

function checkId(id: string): void {
  const issue = keyIdProblem(id);
  if (issue !== undefined) throw new AtollError("invalid-argument", issue);
}

function checkedGrants(value: unknown): readonly Grant[] {
  const grants = parseGrants(value);
  if (typeof grants === "string") throw new AtollError("invalid-argument", grants);
  return grants;
}
