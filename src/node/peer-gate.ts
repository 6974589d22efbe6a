/**
 * Calls to other nodes by ID, with a bound on what may be under way to each: a peer that hangs must not collect this
 * node's memory. Every outcome is passed on to the membership.
 */
import { AtollError, isAtollError } from "../errors.ts";
import type { CallOptions, PeerRequest, Peers, ReplyTo } from "../ports.ts";
import type { Membership } from "./membership.ts";
import type { Metrics } from "./metrics.ts";

const CALLS_MAX = 4_096;
const BYTES_MAX = 64 << 20;

export class PeerGate {
  readonly #peers: Peers;
  readonly #membership: Membership;
  readonly #metrics: Metrics;
  readonly #onAhead: (id: string) => void;
  readonly #underWay = new Map<string, { calls: number; bytes: number }>();

  /** `onAhead`: that node goes by a newer layout. */
  constructor(
    deps: { peers: Peers; membership: Membership; metrics: Metrics; onAhead: (id: string) => void },
  ) {
    this.#peers = deps.peers;
    this.#onAhead = deps.onAhead;
    this.#membership = deps.membership;
    this.#metrics = deps.metrics;
  }

  /** Fails as `Peers.call` does, and with `overloaded` when too much is under way to that node. */
  async call<R extends PeerRequest>(
    id: string,
    request: R,
    options: Omit<CallOptions, "expect">,
  ): Promise<ReplyTo<R>> {
    const url = this.#membership.card(id)?.peerUrl;
    if (!url) throw new AtollError("peer-unreachable", `wanted the address of node ${id}, got none yet`);
    let gauge = this.#underWay.get(id);
    if (!gauge) this.#underWay.set(id, gauge = { calls: 0, bytes: 0 });
    const bytes = payloadBytes(request);
    if (gauge.calls >= CALLS_MAX || gauge.bytes + bytes > BYTES_MAX) {
      this.#count(request, "overloaded");
      throw new AtollError("overloaded", `too much is under way to node ${id}: ${gauge.calls} calls`);
    }
    gauge.calls++;
    gauge.bytes += bytes;
    try {
      const reply = await this.#peers.call(url, request, { ...options, expect: id });
      this.#membership.succeeded(id);
      return reply;
    } catch (error) {
      if (isAtollError(error, "wrong-layout")) this.#onAhead(id);
      // A call that we gave up ourselves says nothing about the peer.
      if (!options.signal?.aborted) {
        this.#membership.failed(id, error);
        this.#count(request, error instanceof AtollError ? error.code : "internal");
      }
      throw error;
    } finally {
      gauge.calls--;
      gauge.bytes -= bytes;
    }
  }

  #count(request: PeerRequest, code: string): void {
    this.#metrics.counter("atoll_peer_errors_total", "Calls to peers that failed", {
      type: request.type,
      code,
    }).add();
  }
}

function payloadBytes(request: PeerRequest): number {
  if (request.type === "chunk-put") return request.bytes.length;
  if (request.type === "prepare") return request.chunk?.bytes.length ?? 0;
  if (request.type !== "accept") return 0;
  const { content } = request.value;
  const inline = content.kind === "object" ? content.manifest.content?.length ?? 0 : 0;
  return inline + (request.chunk?.bytes.length ?? 0);
}
