/**
 * Small messages to one peer that are sent in the same turn of the event loop travel in one request: its headers, its
 * signature and its trip through both stacks cost more than the messages themselves. Nothing waits longer than that
 * turn, and nothing waits for a batch that is under way.
 */
import { AtollError } from "../errors.ts";
import { type CallMessage, type CallReply, FRAMES_MAX } from "../http/peer-codec.ts";
import type { EncodedCall } from "./peer-calls.ts";
import type { Sending } from "./peer-lane.ts";

/** A batch that has reached it is sent without what would come after. */
const BATCH_BYTES_MAX = 1 << 20;

/** A batch on its way, with a reply or a fault for each of its messages. */
export interface BatchSending extends Omit<Sending, "answer"> {
  readonly replies: Promise<readonly (CallReply | AtollError)[]>;
}

export type SendBatch = (calls: readonly EncodedCall[], expect: string | undefined) => BatchSending;

/** One message's part of a batch. */
interface Entry {
  readonly call: EncodedCall;
  readonly resolve: (reply: CallReply) => void;
  readonly reject: (error: unknown) => void;
  sending?: BatchSending;
  isWanted: boolean;
  leave: () => void;
}

export interface BatchedCall extends Omit<Sending, "answer"> {
  readonly reply: Promise<CallReply>;
}

export class PeerBatcher {
  readonly #encode: (message: CallMessage) => EncodedCall;
  readonly #send: SendBatch;
  /** By who is expected to answer, since that stands in the headers. */
  readonly #gathering = new Map<string | undefined, Entry[]>();
  #isScheduled = false;

  /** `encode`: throws for what cannot be sent. */
  constructor(deps: { encode: (message: CallMessage) => EncodedCall; send: SendBatch }) {
    this.#encode = deps.encode;
    this.#send = deps.send;
  }

  add(message: CallMessage, expect: string | undefined): BatchedCall {
    const call = this.#encode(message);
    let entry!: Entry;
    const reply = new Promise<CallReply>((resolve, reject) => {
      entry = { call, resolve, reject, isWanted: true, leave: () => undefined };
    });
    const entries = this.#gathering.get(expect);
    if (entries) entries.push(entry);
    else this.#gathering.set(expect, [entry]);
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      // After this turn's I/O: a microtask would part messages whose callers were woken by different sockets.
      setImmediate(() => this.#flush());
    }
    return {
      reply,
      sent: () => entry.sending?.sent() ?? false,
      late: () => entry.sending?.late(),
      cancel: () => {
        entry.isWanted = false;
        entry.leave();
      },
    };
  }

  #flush(): void {
    this.#isScheduled = false;
    const gathered = [...this.#gathering];
    this.#gathering.clear();
    for (const [expect, entries] of gathered) {
      const wanted = entries.filter((entry) => entry.isWanted);
      for (const batch of inBatches(wanted)) this.#sendBatch(batch, expect);
    }
  }

  #sendBatch(batch: readonly Entry[], expect: string | undefined): void {
    let sending: BatchSending;
    try {
      sending = this.#send(batch.map((entry) => entry.call), expect);
    } catch (error) {
      // Thrown from here it would end the process: nobody is on the stack above.
      for (const entry of batch) entry.reject(error);
      return;
    }
    let waiting = batch.length;
    for (const entry of batch) {
      entry.sending = sending;
      entry.leave = () => {
        if (--waiting === 0) sending.cancel();
      };
    }
    sending.replies.then(
      (replies) => {
        for (const [index, entry] of batch.entries()) {
          const reply = replies[index];
          if (reply === undefined || reply instanceof AtollError) entry.reject(reply);
          else entry.resolve(reply);
        }
      },
      (error: unknown) => {
        for (const entry of batch) entry.reject(error);
      },
    );
  }
}

function inBatches(entries: readonly Entry[]): Entry[][] {
  const batches: Entry[][] = [];
  let batch: Entry[] = [];
  let sizeBytes = 0;
  for (const entry of entries) {
    if (
      batch.length === FRAMES_MAX ||
      (batch.length > 0 && sizeBytes + entry.call.frame.sizeBytes > BATCH_BYTES_MAX)
    ) {
      batches.push(batch);
      batch = [];
      sizeBytes = 0;
    }
    batch.push(entry);
    sizeBytes += entry.call.frame.sizeBytes;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}
