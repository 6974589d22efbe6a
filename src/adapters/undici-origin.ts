/**
 * Origins over HTTP/1.1: `Origin` in production. An address is looked at after its name was resolved, and it is that address
 * the connection goes to, so that nobody can have one looked at and another connected to.
 */
import { lookup as resolve } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import { clearTimeout, setTimeout } from "node:timers";
import { rootCertificates } from "node:tls";
import { Agent, buildConnector, type Dispatcher, errors, request as send } from "undici";
import { type AddressRange, isPublic, isWithin } from "../core/address-ranges.ts";
import { AtollError, isAtollError, messageOf } from "../errors.ts";
import type { Origin, OriginAnswer, OriginRequest } from "../ports.ts";
import { ConnectionPlaces } from "./connection-places.ts";
import { withoutContinue } from "./interim-answers.ts";

const CONNECT_MS = 5_000;
/** To one origin; further requests wait for one of these, no longer than for an answer. */
const CONNECTIONS_MAX = 64;
const ORIGINS_MAX = 1_024;

export interface UndiciOriginDeps {
  /** Where connections may go beyond the public Internet. */
  readonly allowed: { readonly ranges: readonly AddressRange[]; readonly hosts: readonly string[] };
  /** PEM of authorities that are trusted besides those everybody trusts. */
  readonly ca?: string | undefined;
  /** How names become addresses; undefined: the system's way. */
  readonly resolveAll?: (hostname: string) => Promise<readonly { address: string; family: number }[]>;
}

export function createOrigin(deps: UndiciOriginDeps): Origin & { close(): Promise<void> } {
  return new UndiciOrigin(deps);
}

class UndiciOrigin implements Origin {
  readonly #deps: UndiciOriginDeps;
  readonly #agent: Agent;
  readonly #places = new ConnectionPlaces(CONNECTIONS_MAX);

  constructor(deps: UndiciOriginDeps) {
    this.#deps = deps;
    const { ca } = deps;
    const connect = buildConnector({
      timeout: CONNECT_MS,
      allowH2: false,
      lookup: this.#lookup(),
      ...(ca !== undefined && { ca: [...rootCertificates, ca] }),
    });
    this.#agent = new Agent({
      connections: CONNECTIONS_MAX,
      maxOrigins: ORIGINS_MAX,
      allowH2: false,
      pipelining: 1,
      connect: (options, callback) =>
        connect(options, (...[error, socket]) => {
          if (error) callback(error, null);
          else callback(null, withoutContinue(socket));
        }),
    });
  }

  async fetch(request: OriginRequest): Promise<OriginAnswer> {
    const { url, headTimeoutMs } = request;
    const { hostname } = new URL(url);
    const literal = hostname.replace(/^\[|\]$/g, "");
    // A name goes through the lookup below; an address is connected to as it is.
    if (isIP(literal) !== 0) this.#mustBeAllowed(literal, literal);
    // undici counts from when it sends, and hears of a signal only then: not while it waits, or connects.
    const limit = new AbortController();
    const { signal } = limit;
    const late = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error));
    });
    const timer = setTimeout(() => {
      const wanted = `wanted an answer of ${hostname} to begin within ${headTimeoutMs} ms, got none`;
      limit.abort(new AtollError("origin-timeout", wanted));
    }, headTimeoutMs);
    timer.unref();
    try {
      return await Promise.race([this.#exchange(request, hostname, signal), late]);
    } catch (error) {
      throw originError(error, hostname);
    } finally {
      clearTimeout(timer);
    }
  }

  async #exchange(request: OriginRequest, hostname: string, signal: AbortSignal): Promise<OriginAnswer> {
    const { method, url, headers, partTimeoutMs } = request;
    const leave = await this.#places.take(new URL(url).origin, signal);
    let answer: Dispatcher.ResponseData;
    try {
      answer = await send(url, {
        dispatcher: this.#agent,
        method,
        headers,
        headersTimeout: 0,
        bodyTimeout: partTimeoutMs,
        signal,
      });
    } catch (error) {
      leave();
      throw error;
    }
    const { statusCode: status, body } = answer;
    body.once("close", leave);
    if (answer.headers["transfer-encoding"] !== undefined && answer.headers["content-length"] !== undefined) {
      // RFC 9112 section 6.3: what two recipients take for different messages is how requests are smuggled.
      body.on("error", () => {});
      body.destroy();
      throw new AtollError("origin-failed", `wanted one length of the answer of ${hostname}, got two`);
    }
    return { status, headers: entriesOf(answer.headers), body: bytesOf(body, hostname) };
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #lookup(): LookupFunction {
    const resolveAll = this.#deps.resolveAll ?? ((name: string) => resolve(name, { all: true }));
    const look = async (...[hostname, options, answer]: Parameters<LookupFunction>): Promise<void> => {
      try {
        const all = await resolveAll(hostname);
        for (const { address } of all) this.#mustBeAllowed(address, hostname);
        const [first] = all;
        if (!first) throw new AtollError("origin-failed", `wanted an address of ${hostname}, DNS has none`);
        if (options.all) answer(null, [...all]);
        else answer(null, first.address, first.family);
      } catch (error) {
        answer(error as NodeJS.ErrnoException, "", 0);
      }
    };
    return (hostname, options, callback) => void look(hostname, options, callback);
  }

  /** All of a name's addresses must be: which of them is connected to is not for its owner to choose. */
  #mustBeAllowed(address: string, hostname: string): void {
    const { ranges, hosts } = this.#deps.allowed;
    if (isPublic(address) || hosts.includes(hostname.toLowerCase()) || isWithin(address, ranges)) return;
    throw new AtollError(
      "origin-forbidden",
      `wanted an origin in the public Internet, got ${hostname} at ${address}; ATOLL_ORIGIN_ALLOW_PRIVATE may allow it`,
    );
  }
}

function entriesOf(headers: Record<string, string | string[] | undefined>): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((each): [string, string] => [name.toLowerCase(), each])
  );
}

/** Not a generator: one that was never begun would not hear that nobody wants it, and keep its connection. */
function bytesOf(body: Dispatcher.ResponseData["body"], hostname: string): AsyncIterableIterator<Uint8Array> {
  const parts = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  body.on("error", () => {}); // met by whoever reads it, if anybody does
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      try {
        return await parts.next();
      } catch (error) {
        throw originError(error, hostname);
      }
    },
    return() {
      body.destroy();
      return Promise.resolve({ done: true, value: undefined });
    },
  };
}

function originError(error: unknown, hostname: string): AtollError {
  const cause = error instanceof AggregateError ? error.errors[0] : error;
  if (isAtollError(error)) return error;
  if (isAtollError(cause)) return cause;
  if (
    error instanceof errors.ConnectTimeoutError || error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError
  ) {
    return new AtollError("origin-timeout", `wanted an answer of ${hostname}: ${error.message}`, {
      cause: error,
    });
  }
  return new AtollError("origin-failed", `wanted an answer of ${hostname}: ${messageOf(error)}`, {
    cause: error,
  });
}
