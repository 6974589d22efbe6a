/**
 * A network between nodes of one process: every message waits its time on the clock it is given, and may be lost,
 * repeated, refused or held up, as the test's rules say. What arrives is a copy, as it would be over a wire.
 */
import { AtollError, type ErrorCode, messageOf } from "../../src/errors.ts";
import type {
  CallOptions,
  Clock,
  PeerHandler,
  PeerReply,
  PeerRequest,
  Peers,
  ReplyTo,
} from "../../src/ports.ts";

export interface Message {
  readonly from: string;
  readonly to: string;
  readonly request: PeerRequest;
  /** Undefined on the way there. */
  readonly reply?: PeerReply | undefined;
}

/** What becomes of a message; nothing said: it arrives after the network's usual delay. */
export interface Fate {
  readonly delayMs?: number | undefined;
  /** Never arrives; the caller waits for its time-out. */
  readonly lost?: boolean | undefined;
  /** Only on the way there: the connection is refused at once. */
  readonly refused?: boolean | undefined;
  /** Arrives so many times; 1 unless said. */
  readonly copies?: number | undefined;
  /** This is answered instead; on the way there, in the host's place, which hears nothing. */
  readonly reply?: PeerReply | undefined;
}

export type Rule = (message: Message) => Fate | undefined;

export interface Host {
  readonly id: string;
  readonly handler: PeerHandler;
  readonly ringId: () => string | undefined;
  /** The process is paused until then: what arrives waits. */
  readonly heldUntilMs?: () => number;
}

/** What nodes may say to each other before both belong to a ring, as http/peer-door.ts has it. */
const WITHOUT_RING = new Set<PeerRequest["type"]>([
  "ping",
  "probe",
  "members",
  "layout",
  "decree-prepare",
  "decree-accept",
]);

export class FakeNetwork {
  readonly #clock: Clock;
  readonly #usualMs: (message: Message) => number;
  readonly #hosts = new Map<string, Host>();
  readonly #rules: Rule[] = [];

  constructor(clock: Clock, usualMs: (message: Message) => number = () => 1) {
    this.#clock = clock;
    this.#usualMs = usualMs;
  }

  listen(url: string, host: Host): void {
    this.#hosts.set(url, host);
  }

  close(url: string): void {
    this.#hosts.delete(url);
  }

  /** The newest rule that says something about a message decides. Returns what takes the rule back. */
  rule(rule: Rule): () => void {
    this.#rules.unshift(rule);
    return () => void this.#rules.splice(this.#rules.indexOf(rule), 1);
  }

  /** The node's calls and answers are lost from now on, as those of a hanging process are. */
  hang(id: string): () => void {
    return this.rule(({ from, to }) => from === id || to === id ? { lost: true } : undefined);
  }

  /** Nobody reaches the node, nor it anybody; and everybody is told so at once. */
  refuse(id: string): () => void {
    return this.rule(({ from, to }) => from === id || to === id ? { refused: true } : undefined);
  }

  /** `isAlive`: of the caller; a dead one hears nothing any more, and says nothing. */
  peersOf(
    id: string,
    ringId: () => string | undefined,
    isAlive: () => boolean = () => true,
    heldUntilMs: () => number = () => 0,
  ): Peers {
    return {
      call: <R extends PeerRequest>(url: string, request: R, options: CallOptions): Promise<ReplyTo<R>> =>
        new Promise((resolve, reject) => {
          if (!isAlive()) return;
          const cancel = this.#clock.after(
            options.timeoutMs,
            () => fail("peer-timeout", `no answer in ${options.timeoutMs} ms`),
          );
          const end = (settle: () => void): void => {
            if (!isAlive()) return;
            const heldMs = heldUntilMs() - this.#clock.monotonicMs();
            if (heldMs > 0) return void this.#clock.after(heldMs, () => end(settle));
            cancel();
            settle();
          };
          const gaveUp = (): void => end(() => reject(options.signal?.reason as Error));
          options.signal?.addEventListener("abort", gaveUp, { once: true });
          const fail = (code: ErrorCode, message: string): void =>
            end(() => reject(new AtollError(code, message)));
          const answer = (reply: PeerReply): void => {
            if (reply.type === "error") fail(reply.code as ErrorCode, reply.message);
            else end(() => resolve(reply as ReplyTo<R>));
          };
          this.#send(url, { id, ringId: ringId() }, request, options, answer, fail);
        }),
    };
  }

  #send(
    url: string,
    from: { id: string; ringId: string | undefined },
    request: PeerRequest,
    { expect, trace, layout }: CallOptions,
    answer: (reply: PeerReply) => void,
    fail: (code: ErrorCode, message: string) => void,
  ): void {
    const named = this.#hosts.get(url)?.id ?? expect ?? url;
    const there = this.#fateOf({ from: from.id, to: named, request });
    const { reply: instead } = there;
    if (there.lost) return;
    if (instead) return void this.#clock.after(2 * there.delayMs, () => answer(instead));
    const arrive = (): void => {
      const host = this.#hosts.get(url);
      if (!host || there.refused) return fail("peer-unreachable", `nobody listens at ${url}`);
      const heldMs = (host.heldUntilMs?.() ?? 0) - this.#clock.monotonicMs();
      if (heldMs > 0) return void this.#clock.after(heldMs, arrive);
      const refusal = refusalOf(host, from.ringId, request, expect);
      if (refusal) return fail(refusal.code, refusal.message);
      void host.handler({ node: from.id, trace, layout }, copyOf(request)).catch(errorReply).then(
        (handled) => {
          // A process that died meanwhile answers nobody.
          if (this.#hosts.get(url) !== host) return;
          const back = this.#fateOf({ from: host.id, to: from.id, request, reply: handled });
          const reply = copyOf(back.reply ?? handled);
          if (back.lost || back.refused) return;
          this.#clock.after(back.delayMs, () => answer(reply));
        },
      );
    };
    for (let copy = 0; copy < (there.copies ?? 1); copy++) {
      this.#clock.after(there.delayMs * (1 + copy), arrive);
    }
  }

  #fateOf(message: Message): Fate & { delayMs: number } {
    let fate: Fate | undefined;
    for (const rule of this.#rules) {
      fate = rule(message);
      if (fate) break;
    }
    return { ...fate, delayMs: fate?.delayMs ?? this.#usualMs(message) };
  }
}

function refusalOf(
  host: Host,
  callersRing: string | undefined,
  request: PeerRequest,
  expect: string | undefined,
): AtollError | undefined {
  if (expect !== undefined && expect !== host.id) {
    return new AtollError("wrong-node", `wanted node ${expect}, got ${host.id}`);
  }
  const ringId = host.ringId();
  const strangers = ringId !== undefined && callersRing !== undefined && ringId !== callersRing;
  const tooEarly = (ringId === undefined || callersRing === undefined) && !WITHOUT_RING.has(request.type);
  if (!strangers && !tooEarly) return undefined;
  return new AtollError("wrong-ring", `wanted a member of ring ${ringId}, got one of ${callersRing}`);
}

function errorReply(error: unknown): PeerReply {
  const code = error instanceof AtollError ? error.code : "internal";
  return { type: "error", code, message: messageOf(error) };
}

/** Of messages: plain data and bytes. A tenth of what `structuredClone` costs. */
function copyOf<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return value.slice() as T;
  if (Array.isArray(value)) {
    return (typeof value[0] === "object" ? value.map((one: unknown) => copyOf(one)) : value.slice()) as T;
  }
  const copy: Record<string, unknown> = {};
  for (const key in value) copy[key] = copyOf(value[key]);
  return copy as T;
}
