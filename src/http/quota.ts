/** Whether a bucket has room for one more object. */
import type { BucketSettings } from "../core/bucket-settings.ts";
import type { Name } from "../core/names.ts";
import { AtollError } from "../errors.ts";
import type { BucketCount, BucketUsage, Usage } from "../node/bucket-usage.ts";
import type { Objects } from "../node/objects.ts";

const STRONGLY = { noCache: true, onlyIfCached: false } as const;
const NOTHING: Usage = { bytes: 0, objects: 0 };

/** Room that was taken, until it is known what was stored in it. */
export interface Room {
  /** The body, for which room is taken as it comes; ends with `storage-full` where there is none left. */
  filledBy(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
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
    const room = new TakenRoom({
      bucket,
      quota,
      sizeBytes,
      count: await this.#usage.of(bucket),
      replaced: () => this.#replaced(name, trace),
      onRefused: this.#onRefused,
    });
    await room.begin();
    return room;
  }

  async #replaced(name: Name, trace: string): Promise<Usage> {
    const located = await this.#objects.locate(name, STRONGLY, trace);
    return located.kind === "found" ? { bytes: located.object.manifest.size, objects: 1 } : NOTHING;
  }
}

interface TakenRoomDeps {
  readonly bucket: string;
  readonly quota: NonNullable<BucketSettings["quota"]>;
  readonly sizeBytes: number | undefined;
  readonly count: BucketCount;
  /** What is stored under the object's name now. */
  readonly replaced: () => Promise<Usage>;
  readonly onRefused: () => void;
}

/**
 * Looked for and taken in one go, with nothing awaited between: of many uploads at once each sees what the others took.
 * Of those that grow together until none has room, each that is refused makes room for the rest.
 */
class TakenRoom implements Room {
  readonly #deps: TakenRoomDeps;
  #takenBytes = 0;
  #takenObjects = 0;
  /** What replaces something takes its place; asked only where there is no room besides. */
  #replaced: Usage | undefined;

  constructor(deps: TakenRoomDeps) {
    this.#deps = deps;
  }

  async begin(): Promise<void> {
    // Of what does not say how large it is, one byte is the least that makes sense to begin with.
    await this.#reach(this.#deps.sizeBytes ?? 1);
  }

  async *filledBy(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    for await (const part of body) {
      bytes += part.length;
      if (bytes > this.#takenBytes) await this.#reach(bytes);
      yield part;
    }
  }

  done(storedBytes: number | undefined): void {
    this.#giveBack();
    if (storedBytes !== undefined) this.#deps.count.stored(storedBytes);
  }

  #giveBack(): void {
    this.#deps.count.giveBack(this.#takenBytes, this.#takenObjects);
    [this.#takenBytes, this.#takenObjects] = [0, 0];
  }

  async #reach(bytes: number): Promise<void> {
    if (this.#takeUpTo(bytes)) return;
    if (!this.#replaced) {
      this.#replaced = await this.#deps.replaced();
      if (this.#takeUpTo(bytes)) return;
    }
    this.#refuse();
  }

  /** Whether there was room for an object of so many bytes. */
  #takeUpTo(bytes: number): boolean {
    const { count, quota } = this.#deps;
    const { used } = count;
    const [moreBytes, moreObjects] = [bytes - this.#takenBytes, 1 - this.#takenObjects];
    const replaced = this.#replaced ?? NOTHING;
    if (used.bytes + moreBytes > (quota.bytes ?? Infinity) + replaced.bytes) return false;
    if (used.objects + moreObjects > (quota.objects ?? Infinity) + replaced.objects) return false;
    count.take(moreBytes, moreObjects);
    [this.#takenBytes, this.#takenObjects] = [bytes, 1];
    return true;
  }

  #refuse(): never {
    const { bucket, quota: { bytes, objects = Infinity }, sizeBytes, count: { used }, onRefused } =
      this.#deps;
    const isByObjects = this.#takenObjects === 0 &&
      used.objects + 1 > objects + (this.#replaced?.objects ?? 0);
    this.#giveBack(); // at once: others may be about to be refused for want of it
    onRefused();
    throw new AtollError(
      "storage-full",
      isByObjects
        ? `wanted at most ${objects} objects in bucket ${bucket}, which has about ${used.objects}`
        : `wanted at most ${bytes} bytes in bucket ${bucket}, which has about ${used.bytes}, got ${
          sizeBytes === undefined ? "more" : `${sizeBytes} more`
        }`,
    );
  }
}
