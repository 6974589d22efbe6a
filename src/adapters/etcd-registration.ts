/** This node's entry in etcd, under a lease: it vanishes by itself when the node does. */
import type { EtcdGateway } from "./etcd-gateway.ts";
import { EtcdLoop, type EtcdLoopDeps } from "./etcd-loop.ts";
import { anyAnswer, encoded, keepAliveAnswer, leaseAnswer, putAnswer } from "./etcd-messages.ts";

export interface RegistrationOptions extends EtcdLoopDeps {
  readonly gateway: EtcdGateway;
  readonly key: string;
  readonly value: string;
  /** S that the entry outlives the node by; kept alive three times in it. */
  readonly leaseSeconds: number;
}

export class EtcdRegistration {
  readonly #options: RegistrationOptions;
  readonly #loop: EtcdLoop;
  #leaseId: string | undefined;
  #isMissing = false;

  constructor(options: RegistrationOptions) {
    this.#options = options;
    this.#loop = new EtcdLoop(options, "registration", () => this.#step());
  }

  start(): void {
    this.#loop.start();
  }

  /** Somebody saw that the entry is not there. */
  missing(): void {
    if (this.#leaseId === undefined) return; // not yet, or about to be put again anyway
    this.#isMissing = true;
    this.#loop.wake();
  }

  /** Takes the entry away, if etcd is there to hear it; otherwise the lease ends by itself. */
  async stop(): Promise<void> {
    await this.#loop.stop();
    if (this.#leaseId === undefined) return;
    await this.#options.gateway.call("/v3/lease/revoke", { ID: this.#leaseId }, anyAnswer).catch(() =>
      undefined
    );
  }

  async #step(): Promise<number> {
    const { leaseSeconds } = this.#options;
    if (this.#leaseId !== undefined && !this.#isMissing) {
      const answer = await this.#options.gateway.call(
        "/v3/lease/keepalive",
        { ID: this.#leaseId },
        keepAliveAnswer,
      );
      if (answer.result.TTL > 0) return leaseSeconds * 1_000 / 3;
      this.#options.log.warn("etcd has let the lease end, this node registers again");
    }
    this.#leaseId = undefined;
    this.#isMissing = false;
    await this.#register();
    return leaseSeconds * 1_000 / 3;
  }

  async #register(): Promise<void> {
    const { gateway, key, value, leaseSeconds } = this.#options;
    const { ID } = await gateway.call("/v3/lease/grant", { TTL: String(leaseSeconds) }, leaseAnswer);
    await gateway.call("/v3/kv/put", { key: encoded(key), value: encoded(value), lease: ID }, putAnswer);
    // Only now: a lease whose entry could not be put is forgotten and ends by itself.
    this.#leaseId = ID;
  }
}
