/**
 * Questions to DNS (RFC 1035, SRV: RFC 2782), of the system's servers or of one that is named. The last answer is kept:
 * when DNS fails, or suddenly knows nothing, whoever was to be found there probably still is.
 *
 * Names are asked as they stand: neither /etc/hosts nor search domains take part. What is resolved here needs no thread,
 * unlike `getaddrinfo`, whose threads are those that files are read with.
 */
import { Resolver } from "node:dns/promises";
import { messageOf } from "../errors.ts";
import type { Clock, Log } from "../ports.ts";

/** Of one packet, two tries. */
const TRY_MS = 500;
/** Of one question, whatever the resolver does. Connecting to a peer takes 2 s at most, names included. */
const ANSWER_MS = 1_200;
/** Of one answer; TCP would carry thousands. */
const RECORDS_MAX = 1_024;
/** Names of each type whose last answer is kept; the oldest goes first. */
const KEPT_MAX = 2_048;

/** Last answers by name. */
type Kept<T> = Map<string, readonly T[]>;

export interface DnsDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** `address:port`; undefined: what the system is set up to ask. */
  readonly server: string | undefined;
}

export interface Service {
  readonly host: string;
  readonly port: number;
}

/** `none`: there is no such record. Deno (2.9) says the same of a server that failed. */
type Answer<T> =
  | { readonly kind: "found"; readonly records: readonly T[] }
  | { readonly kind: "none" | "failed"; readonly reason: string };

/** Resolve with the last answer when there is no new one, with nothing when there never was one; never reject. */
export class DnsClient {
  readonly #deps: DnsDeps;
  readonly #four: Kept<string> = new Map();
  readonly #six: Kept<string> = new Map();
  readonly #services: Kept<Service> = new Map();
  readonly #texts: Kept<string> = new Map();
  /** What could not be answered last time, so that the log says it once. */
  readonly #silent = new Set<string>();

  constructor(deps: DnsDeps) {
    this.#deps = deps;
  }

  /** IPv6 first: between machines that have both it is the one without translation. */
  async addresses(name: string): Promise<string[]> {
    const [six, four] = await Promise.all([
      this.#ask(this.#six, name, (resolver) => resolver.resolve6(name)),
      this.#ask(this.#four, name, (resolver) => resolver.resolve4(name)),
    ]);
    const isAnswered = six.kind === "found" || four.kind === "found";
    this.#note(`addresses of ${name}`, isAnswered ? undefined : six.kind === "failed" ? six : four);
    // Where there are records of the one type, none of the other is an answer too.
    if (isAnswered && six.kind === "none") this.#six.delete(name);
    if (isAnswered && four.kind === "none") this.#four.delete(name);
    return [...this.#six.get(name) ?? [], ...this.#four.get(name) ?? []];
  }

  async services(name: string): Promise<readonly Service[]> {
    const answer = await this.#ask(this.#services, name, async (resolver) => {
      const records = await resolver.resolveSrv(name);
      return records.map((record): Service => ({ host: record.name.replace(/\.$/, ""), port: record.port }));
    });
    this.#note(`services of ${name}`, answer);
    return this.#services.get(name) ?? [];
  }

  /** Each record's strings joined, as one text. */
  async texts(name: string): Promise<readonly string[]> {
    const answer = await this.#ask(this.#texts, name, async (resolver) => {
      const records = await resolver.resolveTxt(name);
      return records.map((strings) => strings.join(""));
    });
    this.#note(`texts of ${name}`, answer);
    return this.#texts.get(name) ?? [];
  }

  async #ask<T>(
    kept: Kept<T>,
    name: string,
    question: (resolver: Resolver) => Promise<T[]>,
  ): Promise<Answer<T>> {
    const answer = await this.#resolve(question);
    if (answer.kind === "found") {
      kept.delete(name);
      kept.set(name, answer.records);
      if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value!);
    }
    return answer;
  }

  async #resolve<T>(question: (resolver: Resolver) => Promise<T[]>): Promise<Answer<T>> {
    // One for each question: it can be called off by itself, and sees what the system's set-up has become.
    const resolver = new Resolver({ timeout: TRY_MS, tries: 2 });
    const late = Promise.withResolvers<never>();
    const stopTimer = this.#deps.clock.after(ANSWER_MS, () => {
      late.reject(new Error(`no answer within ${ANSWER_MS} ms`));
      resolver.cancel();
    });
    try {
      if (this.#deps.server !== undefined) resolver.setServers([this.#deps.server]);
      const records = await Promise.race([question(resolver), late.promise]);
      if (records.length === 0) return { kind: "none", reason: "an answer without records" };
      return { kind: "found", records: records.slice(0, RECORDS_MAX) };
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      const isNone = code === "ENOTFOUND" || code === "ENODATA";
      return { kind: isNone ? "none" : "failed", reason: messageOf(error) };
    } finally {
      stopTimer();
    }
  }

  #note(question: string, answer: Answer<unknown> | undefined): void {
    if (answer === undefined || answer.kind === "found") {
      if (this.#silent.delete(question)) this.#deps.log.info("DNS answers again", { question });
      return;
    }
    if (this.#silent.has(question) || this.#silent.size >= KEPT_MAX) return;
    this.#silent.add(question);
    this.#deps.log.warn("DNS has no answer, the last one stays", { question, reason: answer.reason });
  }
}
