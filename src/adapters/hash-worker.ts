/**
 * The thread that hashes uploads: the module that asks it, and what runs in it. Each byte is hashed twice, in its chunk and in
 * the whole; on the event loop that was a third of an upload's time.
 */
import type { DigestAlgorithm, Hashing, PieceDigests } from "../ports.ts";
import { createHashing, Pieces } from "./hashing.ts";
import { crossed, crossing, type CrossingBytes, serveWork, WorkThread } from "./work-thread.ts";

const ROLE = "atoll-hash";

/** This module as one piece of JavaScript, where the build has put it. */
declare const ATOLL_HASH_WORKER: string | undefined;

type Question =
  & { readonly upload: number }
  & (
    | {
      readonly type: "add";
      readonly begins?: readonly DigestAlgorithm[] | undefined;
      readonly bytes: CrossingBytes;
    }
    | { readonly type: "whole" }
    | { readonly type: "close" }
  );

type Value = string | Map<DigestAlgorithm, string> | undefined;

/** What is asked for piece by piece is computed in a thread; all else on the event loop. */
export function createHashingBeside(): Hashing {
  const thread = new WorkThread<Question, Value>({
    role: ROLE,
    module: import.meta.url,
    bundled: typeof ATOLL_HASH_WORKER === "string" ? ATOLL_HASH_WORKER : undefined,
  });
  let uploads = 0;
  return { ...createHashing(), pieces: (algorithms) => new PiecesBeside(thread, ++uploads, algorithms) };
}

class PiecesBeside implements PieceDigests {
  readonly #thread: WorkThread<Question, Value>;
  readonly #upload: number;
  readonly #algorithms: readonly DigestAlgorithm[];
  #hasBegun = false;

  constructor(thread: WorkThread<Question, Value>, upload: number, algorithms: readonly DigestAlgorithm[]) {
    this.#thread = thread;
    this.#upload = upload;
    this.#algorithms = algorithms;
  }

  async add(piece: Uint8Array): Promise<string> {
    const begins = this.#hasBegun ? undefined : this.#algorithms;
    this.#hasBegun = true;
    const { bytes, transfers } = crossing(piece);
    return await this.#thread.ask({ type: "add", upload: this.#upload, begins, bytes }, transfers) as string;
  }

  async whole(): Promise<ReadonlyMap<DigestAlgorithm, string>> {
    if (!this.#hasBegun) return new Pieces(this.#algorithms).whole();
    const whole = await this.#thread.ask({ type: "whole", upload: this.#upload });
    return whole as Map<DigestAlgorithm, string>;
  }

  close(): void {
    if (this.#hasBegun) this.#thread.tell({ type: "close", upload: this.#upload });
  }
}

/** Of the uploads under way. */
const underWay = new Map<number, Pieces>();

serveWork(ROLE, (question: Question): Value => {
  const { upload } = question;
  if (question.type === "close") {
    underWay.delete(upload);
    return undefined;
  }
  if (question.type === "add" && question.begins) underWay.set(upload, new Pieces(question.begins));
  const pieces = underWay.get(upload);
  // A thread that died in between has forgotten the beginning: a digest of the rest would be a wrong one.
  if (!pieces) {
    throw new Error(`wanted the digests of upload ${upload} from its beginning, got a later piece`);
  }
  return question.type === "add" ? pieces.add(crossed(question.bytes)) : pieces.whole();
});
