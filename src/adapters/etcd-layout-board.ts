/**
 * The ring's layout as one JSON document in etcd, changed by transaction on its revision, and only from a lower number of
 * the same ring to a higher one. It mirrors what the ring's voters decided and decides nothing itself: an etcd that is
 * wiped, or restored from an old backup, is told anew.
 *
 * What stands there already is kept when it is another ring's, or of our number or a higher one even if it cannot be read
 * (a newer program's); what does not even say a ring and a number is replaced.
 */
import { Buffer } from "node:buffer";
import { z } from "zod";
import type { Layout } from "../core/layout.ts";
import { layoutSchema } from "../http/peer-schemas.ts";
import type { Clock, LayoutBoard, Log } from "../ports.ts";
import { EtcdDocuments } from "./etcd-documents.ts";
import { EtcdGateway } from "./etcd-gateway.ts";
import { EtcdLoop } from "./etcd-loop.ts";
import { oneKey } from "./etcd-messages.ts";
import { EtcdWatch } from "./etcd-watch.ts";

/** etcd refuses requests of more than 1.5 MiB unless told otherwise. 1,000 nodes with 3 copies take about 0.1 MB. */
const BYTES_MAX = 1_500_000;
/** Looked at anyhow: a restored etcd whose revisions have gone further than the old one's is not told from it by a watch. */
const LOOK_MS = 600_000;

export interface EtcdLayoutBoardOptions {
  readonly endpoints: readonly string[];
  /** Ends with a slash; each ring has its own. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Ms after which a watch is begun anew. */
  readonly watchMs?: number | undefined;
  /** Bytes of a document. */
  readonly bytesMax?: number | undefined;
}

/** What a document must say to be somebody's. */
const claimSchema = z.object({ ringId: z.string().min(1).max(1_024), number: z.int().min(1) });

interface Shown {
  readonly claim: z.infer<typeof claimSchema> | undefined;
  readonly layout: Layout | undefined;
}

export function createEtcdLayoutBoard(options: EtcdLayoutBoardOptions): LayoutBoard {
  return new EtcdLayoutBoard(options);
}

class EtcdLayoutBoard implements LayoutBoard {
  readonly #log: Log;
  readonly #key: string;
  readonly #bytesMax: number;
  readonly #gateway: EtcdGateway;
  readonly #documents: EtcdDocuments;
  readonly #watch: EtcdWatch;
  readonly #publishing: EtcdLoop;
  #onShown: ((shown: Layout | "unreadable" | undefined) => void) | undefined;
  /** By the watch; null: nothing is known yet. */
  #text: string | undefined | null = null;
  #own: { readonly layout: Layout; readonly text: string } | undefined;
  readonly #complaints = new Set<string>();
  #stopping: Promise<void> | undefined;

  constructor({ endpoints, prefix, clock, log, watchMs, bytesMax = BYTES_MAX }: EtcdLayoutBoardOptions) {
    this.#log = log;
    this.#key = `${prefix}layout`;
    this.#bytesMax = bytesMax;
    const gateway = this.#gateway = new EtcdGateway(endpoints, clock);
    this.#documents = new EtcdDocuments(gateway);
    this.#watch = new EtcdWatch({
      clock,
      log,
      gateway,
      what: "watch of the layout",
      range: oneKey(this.#key),
      keysMax: 1,
      watchMs,
      onState: (values) => this.#saw(values.get(this.#key)),
    });
    this.#publishing = new EtcdLoop({ clock, log }, "publication of the layout", () => this.#publish());
  }

  start(onShown: (shown: Layout | "unreadable" | undefined) => void): void {
    this.#onShown = onShown;
    this.#watch.start();
    this.#publishing.start();
  }

  publish(layout: Layout): void {
    if (this.#own && this.#own.layout.number >= layout.number) return;
    const text = JSON.stringify(layout);
    const sizeBytes = Buffer.byteLength(text);
    if (sizeBytes > this.#bytesMax) {
      this.#own = undefined;
      return this.#complain("size", "the layout is too large for etcd and is not shown there", {
        sizeBytes,
        maxBytes: this.#bytesMax,
      });
    }
    this.#own = { layout, text };
    this.#publishing.wake();
  }

  stop(): Promise<void> {
    this.#onShown = undefined;
    this.#stopping ??= Promise.all([this.#watch.stop(), this.#publishing.stop()])
      .then(() => this.#gateway.close());
    return this.#stopping;
  }

  #saw(text: string | undefined): void {
    if (text === this.#text) return;
    this.#text = text;
    this.#onShown?.(text === undefined ? undefined : shownIn(text).layout ?? "unreadable");
    if (this.#own && this.#isDue(this.#own.layout, text)) this.#publishing.wake();
  }

  async #publish(): Promise<number> {
    const own = this.#own;
    if (!own) return LOOK_MS;
    const current = await this.#documents.get(this.#key);
    if (!this.#isDue(own.layout, current?.text)) return LOOK_MS;
    const outcome = await this.#documents.compareAndSwap(this.#key, current?.modRevision ?? 0, own.text);
    // Somebody was faster: most likely with the same.
    return outcome.kind === "swapped" ? LOOK_MS : 0;
  }

  /** Whether that layout of ours belongs where the text stands. */
  #isDue({ ringId, number }: Layout, text: string | undefined): boolean {
    if (text === undefined) return true;
    const { claim, layout } = shownIn(text);
    const fields = { key: this.#key, ringId, layout: number, found: text.slice(0, 80) };
    if (!claim) {
      this.#complain("unreadable", "what stood in etcd as the layout is none and is replaced", fields);
      return true;
    }
    if (claim.ringId !== ringId) {
      this.#complain(
        "another ring",
        "in etcd stands another ring's layout, and is kept: give each ring its own ATOLL_ETCD_PREFIX, or remove the key if that ring is no more",
        { ...fields, otherRingId: claim.ringId.slice(0, 80) },
      );
      return false;
    }
    if (claim.number < number) return true;
    if (!layout) {
      this.#complain(
        "newer",
        "in etcd stands a later layout of this ring that cannot be read here, and is kept: if no newer version of Atoll wrote it, remove the key",
        fields,
      );
    }
    return false;
  }

  /** Once of each kind. */
  #complain(kind: string, message: string, fields: Parameters<Log["warn"]>[1]): void {
    if (this.#complaints.has(kind)) return;
    this.#complaints.add(kind);
    this.#log.warn(message, fields);
  }
}

function shownIn(text: string): Shown {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return { claim: undefined, layout: undefined }; // not even JSON
  }
  return { claim: claimSchema.safeParse(document).data, layout: layoutSchema.safeParse(document).data };
}
