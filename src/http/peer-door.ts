/** Who may ask this node, and how whoever was let in is answered. */
import { Buffer } from "node:buffer";
import { AtollError, type ErrorCode } from "../errors.ts";
import type { Clock, PeerRequest } from "../ports.ts";
import { AUTH_HEADER, bodyDigest, type NO_DIGEST, PeerVerifier, type SignedRequest } from "./peer-auth.ts";
import { PEER_PROTOCOL } from "./peer-codec.ts";
import { type PeerEnv, sendAnswer } from "./peer-connection.ts";
import {
  FROM_HEADER,
  NONE,
  type PeerSelf,
  PROTOCOL_HEADER,
  readRequestHeaders,
  RING_HEADER,
} from "./peer-headers.ts";

/** Who asks, checked. */
export interface Asker {
  readonly request: SignedRequest;
  /** Of its signature; undefined where no secret is asked for. */
  readonly mac: string | undefined;
  /** Of the body, as signed. */
  readonly digest: string | undefined;
}

const STATUS: Partial<Record<ErrorCode, number>> = {
  "peer-garbage": 400,
  "incomplete-body": 400,
  "peer-refused": 401,
  "wrong-ring": 409,
  "too-large": 413,
  "wrong-node": 421,
  "wrong-protocol": 426,
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
  readonly #verifier: PeerVerifier | undefined;

  constructor(deps: { self: () => PeerSelf; secret: string | undefined; clock: Clock }) {
    const { self, secret, clock } = deps;
    this.#self = self;
    this.#verifier = secret === undefined ? undefined : new PeerVerifier({ secret, clock });
  }

  /** Throws `wrong-protocol`, `peer-garbage`, `peer-refused`, `wrong-node` or `wrong-ring`, before the body is read. */
  admit(raw: Request, path: string): Asker {
    const request = readRequestHeaders(raw, path);
    const signature = this.#verifier?.check(request, raw.headers.get(AUTH_HEADER) ?? undefined);
    const { nodeId, ringId } = this.#self();
    if (request.to !== NONE && request.to !== nodeId) {
      throw new AtollError("wrong-node", `wanted node ${request.to}, got ${nodeId}`);
    }
    if (ringId !== undefined && request.ring !== NONE && request.ring !== ringId) {
      const wanted = `wanted a member of ring ${ringId}, got one of ring ${request.ring}`;
      throw new AtollError("wrong-ring", wanted);
    }
    return { request, mac: signature?.mac, digest: signature?.digest };
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
    const { nodeId, ringId } = this.#self();
    const headers = answerHeaders(nodeId, ringId);
    if (this.#verifier && asker.mac !== undefined) {
      const said = { status, from: nodeId, ring: ringId ?? NONE };
      headers[AUTH_HEADER] = this.#verifier.signAnswer(asker.mac, said, digest ?? bodyDigest(body));
    }
    return sendAnswer(env, status, headers, body);
  }

  /** A refusal, or a fault of the node's own; not signed, since there may be nobody to sign it for. */
  fault(
    env: PeerEnv,
    { code, message }: { code: string; message: string },
    status = STATUS[code as ErrorCode] ?? 500,
  ) {
    const { nodeId, ringId } = this.#self();
    // Who could not show the secret learns nothing of the ring.
    const isStranger = status === 401 || status === 426;
    const headers = isStranger ? { [PROTOCOL_HEADER]: String(PEER_PROTOCOL) } : answerHeaders(nodeId, ringId);
    headers["content-type"] = "application/json";
    return sendAnswer(env, status, headers, Buffer.from(JSON.stringify({ code, message })));
  }
}

function answerHeaders(nodeId: string, ringId: string | undefined): Record<string, string> {
  return {
    [PROTOCOL_HEADER]: String(PEER_PROTOCOL),
    [FROM_HEADER]: nodeId,
    [RING_HEADER]: ringId ?? NONE,
  };
}
