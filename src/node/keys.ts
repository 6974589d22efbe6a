/**
 * The access keys: those of the configuration, and those of the ring.
 *
 * Of a secret two things are kept, neither of which leads back to it: its SHA-256, to know it again, and the signing key
 * that presigned URLs are checked with, HMAC-SHA-256 of a label under the secret. A fast hash will do, since secrets are
 * 256 random bits where `/_/keys` makes them and long where people do: there is nothing to try out. Whoever reads a node's
 * disk thus learns no secret. With a signing key he could presign URLs to the objects its key may use, which lie beside it
 * on the same disk, and nothing else: no page of the node takes a presigned URL.
 */
import { LRUCache } from "lru-cache";
import { type Grant, keyIdProblem } from "../core/grants.ts";
import { type Presigned, type PresignedMethod, presignedText, SIGNING_LABEL } from "../core/presign.ts";
import type { Secrets } from "../ports.ts";
import type { RingKeys } from "./ring-keys.ts";

export interface ConfiguredKey {
  readonly id: string;
  readonly secret: string;
  readonly grants: readonly Grant[];
}

export interface Key {
  readonly id: string;
  readonly grants: readonly Grant[];
  readonly secretDigest: string;
  readonly signingKey: string;
}

const NOBODY: Key = { id: "", grants: [], secretDigest: "0".repeat(64), signingKey: "0".repeat(64) };

/** Of credentials that were right: some hundreds of clients, and the links of a page or two. */
const REMEMBERED_MAX = 1_024;

/** `M`: what is remembered of the manner in which a key was shown. */
export class Keys<M extends object = object> {
  readonly #secrets: Secrets;
  readonly #remembered = new LRUCache<string, { readonly manner: M; readonly key: Key }>({
    max: REMEMBERED_MAX,
  });
  /** What was right on a connection last, while that is open: nearly always it is what comes there next. */
  readonly #last = new WeakMap<object, { readonly shown: string; readonly digest: string }>();
  readonly #byId = new Map<string, Key>();
  /** They go first, and are nowhere but here. */
  readonly configured: readonly Key[];
  /** Undefined: there are no others. */
  readonly ring: RingKeys | undefined;

  constructor(deps: {
    secrets: Secrets;
    configured: readonly ConfiguredKey[];
    ring?: RingKeys | undefined;
  }) {
    this.#secrets = deps.secrets;
    this.ring = deps.ring;
    this.configured = deps.configured.map(({ id, secret, grants }) =>
      keyOf(deps.secrets, id, secret, grants)
    );
    for (const key of this.configured) this.#byId.set(key.id, key);
  }

  /** The key, if that is its secret. A promise only where the ring must be asked; rejects with `no-quorum`. */
  bySecret(id: string, secret: string): Found {
    const given = this.#secrets.digest(secret);
    return this.#checked(id, (key) => this.#secrets.isSame(given, key.secretDigest));
  }

  /** The key, if the signature was made with it; the time is not looked at. */
  bySignature(method: PresignedMethod, path: string, presigned: Presigned, signature: string): Found {
    const text = presignedText(method, path, presigned);
    return this.#checked(
      presigned.keyId,
      (key) => this.#secrets.isSame(signature, this.#secrets.mac(key.signingKey, text)),
    );
  }

  /**
   * What was right before and still is, without being checked anew: the key must be there as it was, with whatever it is
   * granted now. By the digest of what is shown, so that memory holds no secrets beyond the connection they came on, and
   * comparing them takes no time that tells.
   */
  recall(
    shown: string,
    connection: object | undefined,
  ): { readonly manner: M; readonly key: Key } | undefined {
    const last = connection && this.#last.get(connection);
    const isLast = last !== undefined && isSameText(last.shown, shown);
    const digest = isLast ? last.digest : this.#secrets.digest(shown);
    const before = this.#remembered.get(digest);
    if (!before) return undefined;
    if (connection && !isLast) this.#last.set(connection, { shown, digest });
    const now = this.#find(before.key.id);
    if (now instanceof Promise) {
      now.catch(() => undefined); // who asks next is told
      return undefined;
    }
    if (now?.secretDigest === before.key.secretDigest) return { manner: before.manner, key: now };
    this.#remembered.delete(digest);
    return undefined;
  }

  /** Only what was right: whoever guesses drives nothing out. */
  remember(shown: string, manner: M, key: Key): void {
    this.#remembered.set(this.#secrets.digest(shown), { manner, key });
  }

  sign(key: Key, method: PresignedMethod, path: string, presigned: Presigned): string {
    return this.#secrets.mac(key.signingKey, presignedText(method, path, presigned));
  }

  #checked(id: string, isRight: (key: Key) => boolean): Found {
    // An unknown ID is checked as if there were such a key: it takes as long as a wrong secret.
    const check = (key: Key | undefined): Key | undefined => isRight(key ?? NOBODY) ? key : undefined;
    const found = this.#find(id);
    return found instanceof Promise ? found.then(check) : check(found);
  }

  #find(id: string): Found {
    return this.#byId.get(id) ?? (keyIdProblem(id) === undefined ? this.ring?.find(id) : undefined);
  }
}

/** In time that tells nothing but the lengths. */
function isSameText(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let different = 0;
  for (let at = 0; at < a.length; at++) different |= a.charCodeAt(at) ^ b.charCodeAt(at);
  return different === 0;
}

type Found = Key | undefined | Promise<Key | undefined>;

function keyOf(secrets: Secrets, id: string, secret: string, grants: readonly Grant[]): Key {
  return {
    id,
    grants,
    secretDigest: secrets.digest(secret),
    signingKey: secrets.mac(secret, SIGNING_LABEL),
  };
}
