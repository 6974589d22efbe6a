/** Who may ask this node, and how whoever was let in is answered. */
import { Buffer } from "node:buffer";
import { AtollError, type ErrorCode } from "../errors.ts";
import type { Clock, PeerRequest } from "../ports.ts";
import {
  AUTH_HEADER,
  bodyDigest,
  type NO_DIGEST,
  PeerVerifier,
  type SignedRequest,
  VOUCH_HEADER,
} from "./peer-auth.ts";
import { type PeerEnv, sendAnswer } from "./peer-connection.ts";
import {
  answerVersion,
  FROM_HEADER,
  NONE,
  type PeerSelf,
  readRequestHeaders,
  RING_HEADER,
  versionHeaders,
} from "./peer-headers.ts";
import { type Dialect, dialectOf, type Protocols, protocolsText } from "./peer-protocol.ts";

/** Who asks, checked. */
export interface Asker {
  readonly request: SignedRequest;
  readonly dialect: Dialect;
  /** Of its signature; undefined where no secret is asked for. */
  readonly mac: string | undefined;
  /** Of the body, as signed. */
  readonly digest: string | undefined;
}

const STATUS: Partial<Record<ErrorCode, number>> = {
  "peer-garbage": 400,
  "incomplete-body": 400,
  "digest-mismatch": 400,
  "peer-refused": 401,
  "wrong-ring": 409,
  "wrong-layout": 409,
  "too-large": 413,
  "wrong-node": 421,
  "wrong-protocol": 426,
  overloaded: 503,
  "storage-full": 507,
};

/** What a node may ask of another although one of them belongs to no ring yet: how rings are found and founded. */
const WITHOUT_RING: ReadonlySet<PeerRequest["type"]> = new Set([
  "ping",
  "probe",
  "members",
  "layout",
  "decree-prepare",
  "decree-accept",
]);

export class PeerDoor {
  readonly #self: () => PeerSelf;
  readonly #protocols: Protocols;
  readonly #verifier: PeerVerifier | undefined;

  constructor(
    deps: { self: () => PeerSelf; protocols: Protocols; secret: string | undefined; clock: Clock },
  ) {
    const { self, protocols, secret, clock } = deps;
    this.#self = self;
    this.#protocols = protocols;
    this.#verifier = secret === undefined ? undefined : new PeerVerifier({ secret, clock });
  }

  /** Throws `wrong-protocol`, `peer-garbage`, `peer-refused`, `wrong-node` or `wrong-ring`, before the body is read. */
  admit(raw: Request, path: string): Asker {
    const { signed: request, version, theirs } = readRequestHeaders(raw, path, this.#protocols);
    const [seal, vouch] = [AUTH_HEADER, VOUCH_HEADER].map((name) => raw.headers.get(name) ?? undefined);
    const signature = this.#verifier?.check(request, seal, vouch);
    const { nodeId, ringId } = this.#self();
    if (request.to !== NONE && request.to !== nodeId) {
      throw new AtollError("wrong-node", `wanted node ${request.to}, got ${nodeId}`);
    }
    if (ringId !== undefined && request.ring !== NONE && request.ring !== ringId) {
      const wanted = `wanted a member of ring ${ringId}, got one of ring ${request.ring}`;
      throw new AtollError("wrong-ring", wanted);
    }
    const dialect = dialectOf(version, this.#protocols, theirs);
    return { request, dialect, mac: signature?.mac, digest: signature?.digest };
  }

  /** Throws `peer-refused` unless the body is the one that was signed; none at all is not enough. */
  checkBody({ digest }: Asker, body: Uint8Array): void {
    if (digest === undefined || digest === bodyDigest(body)) return;
    throw new AtollError("peer-refused", "wanted the body that was signed, got another");
  }

  /** Throws `wrong-ring` for what only members of one ring ask of each other. */
  checkMembership({ request: { ring } }: Asker, type: PeerRequest["type"]): void {
    const mine = this.#self().ringId ?? NONE;
    if ((mine !== NONE && ring !== NONE) || WITHOUT_RING.has(type)) return;
    throw new AtollError(
      "wrong-ring",
      `wanted ${type} between members of one ring, got rings ${ring} and ${mine}`,
    );
  }

  /** `digest`: of the body, or NO_DIGEST where the path says what it must be. */
  answer(
    env: PeerEnv,
    asker: Asker,
    status: 200 | 404,
    body: Uint8Array,
    digest?: typeof NO_DIGEST,
  ): Response {
    const { version } = asker.dialect;
    const headers = this.#answerHeaders(version);
    if (this.#verifier && asker.mac !== undefined) {
      const { nodeId: from, ringId: ring = NONE } = this.#self();
      const understands = protocolsText(this.#protocols) ?? NONE;
      const said = { status, protocol: String(version), understands, from, ring };
      const { header, vouch } = this.#verifier.signAnswer(asker.mac, said, digest ?? bodyDigest(body));
      headers[AUTH_HEADER] = header;
      if (vouch !== undefined) headers[VOUCH_HEADER] = vouch;
    }
    return sendAnswer(env, status, headers, body);
  }

  /** A refusal, or a fault of the node's own; not signed, since there may be nobody to sign it for. */
  fault(
    { env, raw }: { env: PeerEnv; raw: Request },
    { code, message }: { code: string; message: string },
  ) {
    const status = STATUS[code as ErrorCode] ?? 500;
    const { version } = answerVersion(raw, this.#protocols);
    // Who could not show the secret learns nothing of the ring.
    const isStranger = status === 401 || status === 426;
    const headers = isStranger ? versionHeaders(version, this.#protocols) : this.#answerHeaders(version);
    headers["content-type"] = "application/json";
    return sendAnswer(env, status, headers, Buffer.from(JSON.stringify({ code, message })));
  }

  /** Whether there is a version in which whoever was refused can ask again. */
  isNeighbour(raw: Request): boolean {
    return answerVersion(raw, this.#protocols).isNeighbour;
  }

  #answerHeaders(version: number): Record<string, string> {
    const { nodeId, ringId = NONE } = this.#self();
    return { ...versionHeaders(version, this.#protocols), [FROM_HEADER]: nodeId, [RING_HEADER]: ringId };
  }
}
