/** The public door: who a request comes from, and whether it is let in. Nothing that is stored is looked at. */
import { type Conditions, isAllowed, type Need, needsOf, type Place } from "../core/access.ts";
import { EVERY_BUCKET, listedBuckets } from "../core/grants.ts";
import {
  isPresigned,
  type Presigned,
  PRESIGNED_ACTION,
  type PresignedMethod,
  timeProblem,
} from "../core/presign.ts";
import { AtollError } from "../errors.ts";
import type { BucketSettings } from "../core/bucket-settings.ts";
import type { Buckets } from "../node/bucket-settings.ts";
import type { Key, Keys } from "../node/keys.ts";
import type { Admitted } from "./admission.ts";
import type { ConnectionEnv } from "./answer.ts";
import type { Audit, RefusalReason } from "./audit.ts";
import { credentialsOf, type Manner, type ShownCredentials } from "./credentials.ts";
import { aboutOf, isForAnyKey } from "./internal-pages.ts";
import { listedPrefix } from "./list-handler.ts";
import { isFromOtherSite } from "./other-sites.ts";
import type { PublicRequest, ReceivedRequest } from "./request.ts";
import { splitTarget, type Target } from "./target.ts";

/** Who may read `/metrics`: an admin; also whoever does not come through Fly.io's proxy; everybody. */
export type MetricsAccess = "admin" | "fly" | "open";

export interface AccessDeps {
  readonly keys: Keys<Manner>;
  readonly metricsAccess: MetricsAccess;
}

/** Whoever was let in. */
export interface Visitor {
  /** Undefined: nobody who is known, or a node that asks nobody. */
  readonly key?: Key | undefined;
  /** Came with a URL that somebody else signed: may do that one thing. */
  readonly presigned?: (Presigned & { readonly method: PresignedMethod }) | undefined;
  /** Of a listing of buckets, where not all may be shown. */
  readonly listed?: readonly string[] | undefined;
  /** Writes or deletes what it may not read, and is told no more of it than that. */
  readonly isBlind?: boolean;
}

/** Where nobody is asked. */
export const ANYBODY: Visitor = {};

/** A request at the door. */
export interface Knock {
  readonly env: ConnectionEnv;
  /** Of a request that came over no socket. */
  readonly raw: Request | undefined;
  readonly request: ReceivedRequest;
  readonly target: Target;
  /** The request's target as it was sent. */
  readonly sent: string;
  readonly admitted: Admitted | undefined;
}

/** What Fly.io's proxy adds to each request that it passes on; a scrape of the platform's own has none of them. */
const MARKS_OF_FLY_PROXY = ["fly-client-ip", "fly-region", "x-forwarded-for", "via"];

export interface DoorDeps {
  readonly buckets: Buckets;
  readonly audit: Audit;
  readonly wallMs: () => number;
  readonly publicUrl: () => string;
  /** Before anybody is made to wait for the ring; throws or rejects where there are too many already. */
  readonly enter: (knock: Knock, isStranger: boolean) => Promise<void> | undefined;
}

export class PublicDoor {
  readonly #deps: AccessDeps & DoorDeps;

  constructor(access: AccessDeps, deps: DoorDeps) {
    this.#deps = { ...access, ...deps };
  }

  /**
   * Throws, or rejects with, `unauthorized`, `forbidden` and, for credentials that contradict each other,
   * `invalid-argument`. A promise only where the ring must be asked for a key or a bucket, and then with whatever
   * `enter` rejects with as well.
   */
  admit(knock: Knock): Visitor | Promise<Visitor> {
    const { request, target, sent } = knock;
    if (target.kind === "probe" && (target.path !== "metrics" || this.#showsMetrics(request))) return ANYBODY;
    const needs = needsOf(request.method, placeOf(target), conditionsOf(request));
    const visitor = this.#identify(knock, splitTarget(sent).query);
    return visitor instanceof Promise
      ? visitor.then((known) => this.#letIn(knock, known, needs))
      : this.#letIn(knock, visitor, needs);
  }

  #letIn(knock: Knock, visitor: Visitor, needs: readonly Need[]): Visitor | Promise<Visitor> {
    const { target } = knock;
    if (target.kind === "internal" && isForAnyKey(target.path)) {
      return visitor.key ? visitor : this.#refuseUngranted(knock, visitor);
    }
    const missing = needs.filter((need) => !isGrantedTo(visitor, need));
    if (missing.length === 0) return seeing(visitor, target, needs);
    if (target.kind !== "object" || !missing.every(({ action }) => action === "read")) {
      return this.#refuseUngranted(knock, visitor);
    }
    // What a bucket is set to says nothing of what is in it.
    const { buckets, enter } = this.#deps;
    // Names cost nothing to make up, and each that is new is a question to the ring.
    const entering = buckets.isAtHand(target.bucket) ? undefined : enter(knock, visitor.key === undefined);
    const settings = entering ? entering.then(() => buckets.of(target.bucket)) : buckets.of(target.bucket);
    const decide = (set: BucketSettings) =>
      set.public === "read" ? visitor : this.#refuseUngranted(knock, visitor);
    return settings instanceof Promise ? settings.then(decide) : decide(settings);
  }

  #identify(knock: Knock, query: string): Visitor | Promise<Visitor> {
    const authorizations = authorizationsOf(knock);
    const isSigned = isPresigned(query);
    if (authorizations.length === 0 && !isSigned) return ANYBODY;
    const { keys } = this.#deps;
    // Neither a header nor a target can hold a line break: what was remembered of the one is never found by the other.
    const shown = authorizations.length === 0
      ? `url\n${knock.request.method} ${knock.sent}`
      : authorizations.length === 1 && !isSigned
      ? `header\n${authorizations[0]}`
      : undefined;
    const recalled = shown === undefined ? undefined : keys.recall(shown, knock.env.incoming?.socket);
    if (recalled) return this.#holder(knock, recalled.manner, recalled.key);
    const credentials = credentialsOf(knock.request.method, authorizations, query);
    if (!credentials) return ANYBODY;
    if ("code" in credentials) {
      const { code, detail } = credentials;
      return this.#refuse(
        knock,
        code === "invalid-argument" ? "ambiguous" : "wrong-credentials",
        code,
        detail,
      );
    }
    const { manner } = credentials;
    const found = this.#find(knock, credentials);
    const decide = (key: Key | undefined) => {
      if (key && shown !== undefined) keys.remember(shown, manner, key);
      return this.#holder(knock, manner, key);
    };
    if (!(found instanceof Promise)) return decide(found);
    found.catch(() => {}); // met by who is let in to wait for it
    const entering = this.#deps.enter(knock, false);
    return entering ? entering.then(() => found).then(decide) : found.then(decide);
  }

  #find({ sent, target }: Knock, credentials: ShownCredentials): ReturnType<Keys["bySecret"]> {
    const { keys } = this.#deps;
    if ("secret" in credentials) return keys.bySecret(credentials.id, credentials.secret);
    // Only objects: a page of the node is never for whoever has a URL.
    if (target.kind !== "object") return undefined;
    const { manner: { method, presigned }, signature } = credentials;
    return keys.bySignature(method, splitTarget(sent).path, presigned, signature);
  }

  #holder(knock: Knock, manner: Manner, key: Key | undefined): Visitor {
    return manner.kind === "secret"
      ? this.#keyHolder(knock, manner.scheme, key)
      : this.#urlHolder(knock, manner, key);
  }

  #keyHolder(knock: Knock, scheme: "basic" | "bearer", key: Key | undefined): Visitor {
    if (!key) {
      const detail = "wanted the ID and secret of a key, got an unknown ID or a wrong secret";
      return this.#refuse(knock, "wrong-credentials", "unauthorized", detail);
    }
    this.#checkOrigin(knock, scheme, key);
    return { key };
  }

  #urlHolder(
    knock: Knock,
    { method, presigned }: Manner & { kind: "presigned" },
    key: Key | undefined,
  ): Visitor {
    const { request } = knock;
    if (!key) {
      const detail = "wanted a URL that was signed for this method and path, got another signature";
      return this.#refuse(knock, "wrong-signature", "forbidden", detail);
    }
    const late = timeProblem(presigned, this.#deps.wallMs());
    if (late !== undefined) return this.#refuse(knock, "out-of-time", "forbidden", late, key);
    const { contentType } = presigned;
    if (contentType !== undefined && request.header("content-type") !== contentType) {
      const detail = `wanted Content-Type: ${contentType}, as the URL was signed for`;
      return this.#refuse(knock, "not-granted", "forbidden", detail, key);
    }
    return { key, presigned: { ...presigned, method } };
  }

  /**
   * A browser that knows a password sends it along with whatever any other site makes it send (CSRF), whatever CORS says; a
   * site that has a key of its own shows that as Bearer.
   */
  #checkOrigin(knock: Knock, scheme: "basic" | "bearer", key: Key): void {
    if (scheme !== "basic" || !isFromOtherSite(knock, this.#deps.publicUrl)) return;
    const detail = "wanted a request that no other site made the browser send";
    this.#refuse(knock, "cross-site", "forbidden", detail, key);
  }

  #refuseUngranted(knock: Knock, { key }: Visitor): never {
    if (!key) this.#refuse(knock, "no-credentials", "unauthorized", "wanted credentials, got none");
    this.#refuse(knock, "not-granted", "forbidden", "the key has no grant for this", key);
  }

  #refuse(
    { env, request, sent }: Knock,
    reason: RefusalReason,
    code: "unauthorized" | "forbidden" | "invalid-argument",
    detail: string,
    key?: Key,
  ): never {
    const status = { unauthorized: 401, forbidden: 403, "invalid-argument": 400 }[code];
    this.#deps.audit.refused({ env, request, target: sent, keyId: key?.id }, reason, status);
    throw new AtollError(code, detail);
  }

  #showsMetrics({ header }: PublicRequest): boolean {
    const { metricsAccess } = this.#deps;
    if (metricsAccess === "open") return true;
    return metricsAccess === "fly" && MARKS_OF_FLY_PROXY.every((name) => header(name) === undefined);
  }
}

function isGrantedTo({ key, presigned }: Visitor, need: Need): boolean {
  // Signed for one thing: the rest of what its key may do is not for whoever has the URL.
  const isSignedFor = !presigned || PRESIGNED_ACTION[presigned.method] === need.action;
  return isSignedFor && isAllowed(need, key?.grants);
}

/** With what of the answer is not for the visitor. */
function seeing(visitor: Visitor, target: Target, needs: readonly Need[]): Visitor {
  if (target.kind === "root" && visitor.key) {
    const listed = listedBuckets(visitor.key.grants);
    return listed === EVERY_BUCKET ? visitor : { ...visitor, listed };
  }
  const [need] = needs;
  if (target.kind !== "object" || need === undefined || need.action === "read") return visitor;
  const reads: Need = { action: "read", bucket: target.bucket, key: target.key };
  return { ...visitor, isBlind: !isGrantedTo(visitor, reads) };
}

function placeOf(target: Target): Place {
  switch (target.kind) {
    case "bucket":
      return { kind: "bucket", bucket: target.bucket, prefix: listedPrefix(target.query) };
    case "internal":
      return { kind: "internal", about: aboutOf(target.path) };
    default:
      return target;
  }
}

function conditionsOf({ method, header }: PublicRequest): Conditions {
  if (method !== "PUT" && method !== "DELETE") return "none";
  if (header("if-match") !== undefined || header("atoll-if-version") !== undefined) return "some";
  const none = header("if-none-match");
  return none === undefined ? "none" : none.trim() === "*" ? "create" : "some";
}

/** Each of them: Node keeps only the first of several in `headers`. */
function authorizationsOf({ env, raw, request }: Knock): string[] {
  const first = request.header("authorization");
  if (first === undefined) return [];
  const rawHeaders = env.incoming?.rawHeaders;
  if (!rawHeaders) return [raw?.headers.get("authorization") ?? first];
  const found: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 13 && name.toLowerCase() === "authorization") found.push(rawHeaders[i + 1]!);
  }
  return found;
}
