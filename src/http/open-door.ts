/** The public door of a node without keys: whoever reaches it may do everything, but no web site by somebody's browser. */
import type { BucketSettings } from "../core/bucket-settings.ts";
import { AtollError } from "../errors.ts";
import type { Buckets } from "../node/bucket-settings.ts";
import type { Audit, RefusalReason } from "./audit.ts";
import { allowsWrite } from "./cors.ts";
import { ANYBODY, type Knock, type Visitor } from "./door.ts";
import { hostOf, isFromOtherSite, isToOwnName } from "./other-sites.ts";

export interface OpenDoorDeps {
  readonly buckets: Buckets;
  readonly audit: Audit;
  readonly publicUrl: () => string;
  /** Reached by nothing but programs on its machine, of which a browser is one. */
  readonly isOnLoopback: boolean;
}

export class OpenDoor {
  readonly #deps: OpenDoorDeps;
  /** That was right: nearly always it is the next one's. */
  #lastHost: string | undefined;

  constructor(deps: OpenDoorDeps) {
    this.#deps = deps;
  }

  /** Throws, or rejects with, `forbidden`. A promise only where the ring must be asked for a bucket's rules. */
  admit(knock: Knock): Visitor | Promise<Visitor> {
    const { buckets, isOnLoopback, publicUrl } = this.#deps;
    const { request, target } = knock;
    if (isOnLoopback) this.#checkHost(knock);
    if (!isFromOtherSite(knock, publicUrl)) return ANYBODY;
    const origin = request.header("origin");
    if (target.kind !== "object" || origin === undefined) return this.#refuseSite(knock);
    const decide = ({ cors = [] }: BucketSettings): Visitor =>
      allowsWrite(cors, origin, request.method) ? ANYBODY : this.#refuseSite(knock);
    const settings = buckets.of(target.bucket);
    return settings instanceof Promise ? settings.then(decide) : decide(settings);
  }

  #checkHost(knock: Knock): void {
    const host = hostOf(knock);
    if (host === this.#lastHost) return;
    if (!isToOwnName(host, this.#deps.publicUrl)) {
      const wanted = "localhost, an address of loopback, or the host of ATOLL_PUBLIC_URL";
      this.#refuse(
        knock,
        "wrong-host",
        `wanted ${wanted} as Host, got ${JSON.stringify(host?.slice(0, 80))}`,
      );
    }
    this.#lastHost = host;
  }

  #refuseSite(knock: Knock): never {
    return this.#refuse(knock, "cross-site", "wanted a request that no other site made the browser send");
  }

  #refuse({ env, request, sent }: Knock, reason: RefusalReason, detail: string): never {
    this.#deps.audit.refused({ env, request, target: sent, keyId: undefined }, reason, 403);
    throw new AtollError("forbidden", detail);
  }
}
