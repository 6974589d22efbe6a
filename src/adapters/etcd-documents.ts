/** Documents in etcd, each changed by a transaction on its revision: of several who change one at once, one succeeds. */
import type { EtcdGateway } from "./etcd-gateway.ts";
import { encoded, type KeyValue, rangeAnswer, transactionAnswer } from "./etcd-messages.ts";

export interface EtcdDocument {
  readonly text: string;
  /** Of the store, at the document's last change; never 0. */
  readonly modRevision: number;
}

export type SwapOutcome =
  | { readonly kind: "swapped"; readonly modRevision: number }
  /** Somebody was faster; what is there now. */
  | { readonly kind: "conflict"; readonly current: EtcdDocument | undefined };

/** Both are linearizable and reject with the gateway's faults. */
export class EtcdDocuments {
  readonly #gateway: EtcdGateway;

  constructor(gateway: EtcdGateway) {
    this.#gateway = gateway;
  }

  async get(key: string): Promise<EtcdDocument | undefined> {
    const { kvs } = await this.#gateway.call("/v3/kv/range", { key: encoded(key) }, rangeAnswer);
    return documentOf(kvs);
  }

  /**
   * Puts `text` if the document is as it was at that revision; 0: if there is none. After `outcome-unknown` it may have
   * been put, now or later: `get` tells, once it shows another revision than the expected one.
   */
  async compareAndSwap(key: string, expectedModRevision: number, text: string): Promise<SwapOutcome> {
    const answer = await this.#gateway.callOnce("/v3/kv/txn", {
      compare: [{
        key: encoded(key),
        target: "MOD",
        result: "EQUAL",
        mod_revision: String(expectedModRevision),
      }],
      success: [{ request_put: { key: encoded(key), value: encoded(text) } }],
      failure: [{ request_range: { key: encoded(key) } }],
    }, transactionAnswer);
    if (answer.succeeded) return { kind: "swapped", modRevision: answer.header.revision };
    return { kind: "conflict", current: documentOf(answer.responses[0]?.response_range?.kvs ?? []) };
  }
}

function documentOf([kv]: readonly KeyValue[]): EtcdDocument | undefined {
  return kv && { text: kv.value, modRevision: kv.mod_revision };
}
