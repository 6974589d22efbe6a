/** Whether a bucket has room for one more object. */
import type { BucketSettings } from "../core/bucket-settings.ts";
import type { Name } from "../core/names.ts";
import { AtollError } from "../errors.ts";
import type { BucketUsage } from "../node/bucket-usage.ts";
import type { Objects } from "../node/objects.ts";

const STRONGLY = { noCache: true, onlyIfCached: false } as const;

/** Room that was taken, until it is known what was stored in it. */
export interface Room {
  /** Bytes that the object may have. */
  readonly maxBytes: number;
  /** To be called once; undefined: nothing was stored. */
  done(storedBytes: number | undefined): void;
}

export class Quotas {
  readonly #usage: BucketUsage;
  readonly #objects: Objects;
  readonly #onRefused: () => void;

  constructor(deps: { usage: BucketUsage; objects: Objects; onRefused: () => void }) {
    this.#usage = deps.usage;
    this.#objects = deps.objects;
    this.#onRefused = deps.onRefused;
  }

  /** `sizeBytes`: undefined where that is not known yet. Throws `storage-full`. */
  async take(
    { bucket, name }: { bucket: string; name: Name },
    quota: NonNullable<BucketSettings["quota"]>,
    sizeBytes: number | undefined,
    trace: string,
  ): Promise<Room> {
    const { bytes = Infinity, objects = Infinity } = quota;
    const used = await this.#usage.of(bucket);
    let [leftBytes, leftObjects] = [bytes - used.bytes, objects - used.objects];
    const wantedBytes = sizeBytes ?? 1;
    if (leftObjects < 1 || leftBytes < wantedBytes) {
      // What replaces something takes its place.
      const located = await this.#objects.locate(name, STRONGLY, trace);
      if (located.kind === "found") {
        leftObjects++;
        leftBytes += located.object.manifest.size;
      }
    }
    if (leftObjects < 1) {
      throw this.#full(
        `wanted at most ${objects} objects in bucket ${bucket}, which has about ${used.objects}`,
      );
    }
    if (leftBytes < wantedBytes) {
      const got = sizeBytes === undefined ? "more" : `${sizeBytes} more`;
      throw this.#full(
        `wanted at most ${bytes} bytes in bucket ${bucket}, which has about ${used.bytes}, got ${got}`,
      );
    }
    const takenBytes = sizeBytes ?? 0;
    this.#usage.add(bucket, takenBytes, 1);
    return {
      maxBytes: leftBytes,
      done: (storedBytes) => {
        if (storedBytes === undefined) this.#usage.add(bucket, -takenBytes, -1);
        else this.#usage.add(bucket, storedBytes - takenBytes, 0);
      },
    };
  }

  #full(message: string): AtollError {
    this.#onRefused();
    return new AtollError("storage-full", message);
  }
}
