/**
 * Calls to other nodes over HTTP/2 without TLS, by prior knowledge (RFC 9113 section 3.3): `Peers` in production.
 *
 * Faults of this end: `peer-unreachable` when the request was surely not carried out, be it that there was no connection
 * or that it still waited for one; `peer-timeout` when it may have been, be it that the deadline passed or that the
 * connection was lost before the answer. An aborted call rejects with the signal's reason.
 */
import type { LookupFunction } from "node:net";
import { AtollError, isAtollError } from "../errors.ts";
import { replyError } from "../http/peer-codec.ts";
import type { PeerSelf } from "../http/peer-headers.ts";
import { PROTOCOLS, type Protocols } from "../http/peer-protocol.ts";
import { PeerRemarks } from "../http/peer-refusals.ts";
import type { CallOptions, Clock, Log, PeerReply, PeerRequest, Peers, Random, ReplyTo } from "../ports.ts";
import type { CertificateFiles } from "./certificate-files.ts";
import { type LinkCall, PeerLink } from "./peer-link.ts";

/** Peers come and go with their addresses; idle connections beyond this are closed. */
const LINKS_MAX = 1_024;

export interface PeersDeps {
  readonly self: () => PeerSelf;
  /** What this node understands; by default what this build does. */
  readonly protocols?: Protocols | undefined;
  /** Signs what is sent, and what comes must be signed with it. */
  readonly secret: string | undefined;
  readonly clock: Clock;
  /** Told, once an hour for each reason, of each peer that is pinged and will not talk, or is not to be talked to. */
  readonly log?: Log | undefined;
  readonly random: Random;
  /** How the names in URLs become addresses; undefined: the system's way. */
  readonly lookup?: LookupFunction | undefined;
  /** With them TLS is spoken, and peers must have one of the same authority. */
  readonly certificates?: CertificateFiles | undefined;
  /** Of each request, of which several calls may share one; those that were given up are not told of. */
  readonly onRoundTrip?: (url: string, seconds: number, ok: boolean) => void;
}

export function createPeers(deps: PeersDeps): Peers & { close(): Promise<void> } {
  return new UndiciPeers(deps);
}

class UndiciPeers implements Peers {
  readonly #deps: PeersDeps;
  readonly #links = new Map<string, PeerLink>();
  readonly #remarks: PeerRemarks | undefined;
  #isClosed = false;

  constructor(deps: PeersDeps) {
    this.#deps = deps;
    const { log, clock } = deps;
    this.#remarks = log && new PeerRemarks({ log, clock }, "a peer was found and cannot be talked to");
  }

  async call<R extends PeerRequest>(url: string, request: R, options: CallOptions): Promise<ReplyTo<R>> {
    options.signal?.throwIfAborted();
    const call = this.#link(url).call(request, options);
    const reply = await this.#settled(url, call, options).catch((error: unknown) => {
      if (request.type === "ping") this.#pinged(url, error);
      throw error;
    });
    if (reply.type === "error") throw replyError(url, reply);
    const wanted = request.type === "ping" ? "pong" : request.type;
    if (reply.type !== wanted) {
      throw new AtollError("peer-garbage", `wanted ${wanted} from ${url}, got ${reply.type}`);
    }
    return reply as ReplyTo<R>;
  }

  /** Other calls are refused in the course of things; who is refused a ping is a stranger there, and should know. */
  #pinged(peerUrl: string, error: unknown): void {
    if (!isAtollError(error, "peer-refused", "wrong-ring", "wrong-protocol")) return;
    this.#remarks?.tell(peerUrl, error, { peerUrl });
  }

  /** The reply, or the deadline, or the abort: whichever comes first. */
  #settled(url: string, call: LinkCall, { timeoutMs, signal }: CallOptions): Promise<PeerReply> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        stopTimer();
        signal?.removeEventListener("abort", abort);
      };
      const late = () => {
        settle();
        call.late();
        reject(
          call.sent()
            ? new AtollError("peer-timeout", `wanted an answer from ${url} within ${timeoutMs} ms, got none`)
            : new AtollError(
              "peer-unreachable",
              `wanted a connection to ${url} within ${timeoutMs} ms, got none`,
            ),
        );
        call.cancel();
      };
      const abort = () => {
        settle();
        reject(signal?.reason as Error); // or whatever else the caller aborted with
        call.cancel();
      };
      const stopTimer = this.#deps.clock.after(timeoutMs, late);
      signal?.addEventListener("abort", abort);
      call.reply.then((reply) => {
        settle();
        resolve(reply);
      }, (error: unknown) => {
        settle();
        reject(error);
      });
    });
  }

  #link(url: string): PeerLink {
    const known = this.#links.get(url);
    if (known) return known;
    if (this.#isClosed) {
      throw new AtollError("peer-unreachable", `wanted ${url}, got it after this node said goodbye`);
    }
    if (this.#links.size >= LINKS_MAX) this.#closeOneIdle();
    const { onRoundTrip = () => undefined, protocols = PROTOCOLS } = this.#deps;
    const link = new PeerLink(checkedUrl(url), { ...this.#deps, protocols, onRoundTrip });
    this.#links.set(url, link);
    return link;
  }

  #closeOneIdle(): void {
    for (const [url, link] of this.#links) {
      if (!link.isIdle) continue;
      this.#links.delete(url);
      void link.close();
      return;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const links = [...this.#links.values()];
    this.#links.clear();
    await Promise.all(links.map((link) => link.close()));
  }
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" || url.pathname !== "/" || url.username !== "" || url.search !== "") {
    throw new AtollError(
      "peer-unreachable",
      `wanted a peer's URL like http://host:port, got ${text.slice(0, 200)}`,
    );
  }
  return url.origin;
}
