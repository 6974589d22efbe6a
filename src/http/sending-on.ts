/**
 * Sending the readers of large objects on to a replica, where this node would only pass the bytes through: by a redirect, or by
 * Fly.io's proxy, which puts the request to another machine. Only what is sure to do no harm is sent, and nobody twice.
 */
import type { Name } from "../core/names.ts";
import { parseRange } from "../core/range.ts";
import type { ObjectVersion } from "../node/objects.ts";
import type { AtollNode } from "../node/node.ts";
import type { Answer } from "./answer.ts";
import type { PublicRequest } from "./request.ts";

export interface SendingOnSettings {
  readonly mode: "here" | "redirect" | "fly-replay";
  readonly minBytes: number;
}

/** What a redirect adds to the query: whoever comes with it was sent already. A header would be left behind on the way. */
const SENT_PARAMETER = "atoll-sent";
const WAS_SENT = new RegExp(`[?&]${SENT_PARAMETER}=`);
/** What a machine's own name on Fly.io's private network begins with. */
const FLY_MACHINE = /^([0-9a-z]{1,63})\.vm\.[a-z0-9-]{1,63}\.internal$/;

export class SendingOn {
  readonly #node: AtollNode;
  readonly #settings: SendingOnSettings;

  constructor(node: AtollNode, settings: SendingOnSettings) {
    this.#node = node;
    this.#settings = settings;
  }

  /** For a GET or HEAD that will be answered with content. Undefined: it is answered here. */
  answer(request: PublicRequest, name: Name, object: ObjectVersion): Answer | undefined {
    const { mode, minBytes } = this.#settings;
    if (mode === "here" || object.manifest.size < minBytes || wasSent(request)) return undefined;
    // A client keeps credentials from another host, and a signed URL takes no parameter more.
    if (mode === "redirect" && request.isKeyed === true) return undefined;
    // Fly.io's proxy alone reads what it is told; to anybody else it would be no answer.
    if (mode === "fly-replay" && request.header("fly-request-id") === undefined) return undefined;
    if (wantedBytes(request, object.manifest.size) < minBytes) return undefined;
    const { replicas, node } = this.#node.routes.of(name);
    if (replicas.some((replica) => replica.node === node) || this.#node.objects.isHere(object)) {
      return undefined;
    }
    const headers = { "Atoll-Version": String(object.version), "Cache-Control": "no-store" };
    for (const { node: id, rttMs } of replicas) {
      // Nearest first; one without a round trip does not answer.
      if (rttMs === null) continue;
      if (mode === "redirect") {
        const url = this.#publicUrl(id);
        if (url === undefined) continue;
        return { status: 307, headers: { ...headers, "Location": location(url, request.target, node) } };
      }
      const machine = this.#flyMachine(id);
      // 409 as Fly.io's own examples have it: whoever else saw it would not take it for the object.
      if (machine) return { status: 409, headers: { ...headers, "fly-replay": `instance=${machine}` } };
    }
    return undefined;
  }

  /** Undefined: clients of this node cannot reach it by what it says. */
  #publicUrl(id: string): string | undefined {
    const card = this.#node.membership.card(id);
    if (!card || !URL.canParse(card.publicUrl)) return undefined;
    const own = this.#node.card();
    // An address of loopback is the reader's own machine, unless the whole ring lives on that.
    const isOneMachine = [own.publicUrl, own.peerUrl, card.peerUrl].every(isLoopback);
    return isLoopback(card.publicUrl) && !isOneMachine ? undefined : card.publicUrl;
  }

  #flyMachine(id: string): string | undefined {
    const url = this.#node.membership.card(id)?.peerUrl;
    return url === undefined ? undefined : FLY_MACHINE.exec(URL.parse(url)?.hostname ?? "")?.[1];
  }
}

/** By another node, or it says that it will go nowhere else. */
function wasSent(request: PublicRequest): boolean {
  return WAS_SENT.test(request.target) || request.header("fly-replay-src") !== undefined ||
    request.header("fly-replay-failed") !== undefined || request.header("atoll-route") === "here" ||
    /only-if-cached/i.test(request.header("cache-control") ?? "");
}

/** Of content; If-Range may make it more, and a reader that asks for a part knows how to ask for others. */
function wantedBytes(request: PublicRequest, sizeBytes: number): number {
  const wanted = parseRange(request.header("range"), sizeBytes);
  if (wanted.kind === "whole") return sizeBytes;
  if (wanted.kind === "unsatisfiable") return 0;
  return wanted.ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
}

/** The target as it was sent, in whichever form, at that node; `from` is for whoever reads logs. */
function location(publicUrl: string, target: string, from: string): string {
  const path = target.startsWith("/") ? target : target.slice(target.indexOf("/", target.indexOf("://") + 3));
  const joint = path.includes("?") ? "&" : "?";
  return `${publicUrl.replace(/\/$/, "")}${path}${joint}${SENT_PARAMETER}=${encodeURIComponent(from)}`;
}

function isLoopback(url: string): boolean {
  const host = URL.parse(url)?.hostname ?? "";
  return host === "localhost" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}
