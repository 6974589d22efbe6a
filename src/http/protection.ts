/** Headers that keep what is stored here from doing harm in a browser. */
import { type BucketSettings, NO_SETTINGS } from "../core/bucket-settings.ts";
import { varyNames } from "../core/origin-answer.ts";
import type { Buckets } from "../node/bucket-settings.ts";
import type { Admitted } from "./admission.ts";
import type { Answer } from "./answer.ts";
import { corsHeaders } from "./cors.ts";
import type { PublicRequest } from "./request.ts";

export const NOSNIFF = { "X-Content-Type-Options": "nosniff" } as const;

const POLICY = "Content-Security-Policy";
/** It may be looked at, and neither run nor ask for anything: whoever may upload could else act as this origin. */
const SANDBOX =
  "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'";
/** By any part of it, since browsers read more into types than the grammar has. */
const ACTIVE_TYPE = /html|xml|svg|xsl|mixed-replace/i;

/** For what is stored with that type, unless its bucket is a web site; prepared once for each version. */
export function storedHeaders(contentType: string | undefined): Record<string, string> {
  return ACTIVE_TYPE.test(contentType ?? "") ? { ...NOSNIFF, [POLICY]: SANDBOX } : NOSNIFF;
}

export class Protection {
  readonly #buckets: Buckets;

  constructor(buckets: Buckets) {
    this.#buckets = buckets;
  }

  /** What the bucket's settings make of an answer. Never rejects: of settings that cannot be had, none allow anything. */
  of(
    request: PublicRequest,
    bucket: string,
    answer: Answer,
    admitted: Admitted | undefined,
  ): Answer | Promise<Answer> {
    // An error that no script asks for is the same with or without: nobody should have to wait for the ring to read it.
    if (answer.status >= 400 && request.header("origin") === undefined) return answer;
    if (isRefusal(answer, admitted) && !this.#buckets.isAtHand(bucket)) return answer;
    const settings = this.#buckets.of(bucket);
    if (!(settings instanceof Promise)) return applied(settings, request, answer);
    return settings.then(
      (known) => applied(known, request, answer),
      () => applied(NO_SETTINGS, request, answer),
    );
  }
}

/** To refuse must cost no question to the ring, for buckets that whoever is refused makes up. */
function isRefusal({ status }: Answer, admitted: Admitted | undefined): boolean {
  if (status < 400) return false;
  if (status === 401 || !admitted?.isPastDoor) return true;
  return admitted.place === undefined && (status === 503 || status === 429);
}

function applied({ website, cors }: BucketSettings, request: PublicRequest, answer: Answer): Answer {
  // Made for this request alone: what is missing can be added in place.
  if (cors) {
    const added = corsHeaders(cors, request);
    Object.assign(answer.headers, added, { Vary: varyingBy(answer.headers["Vary"], added["Vary"]!) });
  }
  if (!website || answer.headers[POLICY] !== SANDBOX) return answer;
  const { [POLICY]: _none, ...headers } = answer.headers;
  return { ...answer, headers };
}

/** What an origin's answers differ by, they still do: without it, caches further out would give one of them to all. */
function varyingBy(before: string | undefined, added: string): string {
  const names = varyNames(before);
  if (!before || !names) return before || added; // `*` says it all (RFC 9110 section 12.5.5)
  const more = added.split(", ").filter((name) => !names.includes(name.toLowerCase()));
  return [before, ...more].join(", ");
}
