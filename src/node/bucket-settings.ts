/** What is set of buckets: documents of the ring, one for each bucket that has any. */
import { type BucketSettings, NO_SETTINGS } from "../core/bucket-settings.ts";
import type { DocumentsOfKind } from "./ring-documents.ts";

export class Buckets {
  readonly documents: DocumentsOfKind<BucketSettings>;

  constructor(documents: DocumentsOfKind<BucketSettings>) {
    this.documents = documents;
  }

  /**
   * As they were a few seconds ago at most, or since nobody can be asked; a promise only where they must be asked for.
   * Rejects with `no-quorum` where they are not known and nobody can be asked.
   */
  of(bucket: string): BucketSettings | Promise<BucketSettings> {
    const known = this.documents.known(bucket);
    if (known instanceof Promise) return known.then((document) => document?.value ?? NO_SETTINGS);
    return known?.value ?? NO_SETTINGS;
  }

  /** Whether `of` would give them at once; asks nobody. */
  isAtHand(bucket: string): boolean {
    return this.documents.isAtHand(bucket);
  }
}
