/** What one object is to its clients, as a state machine that knows nothing of replicas: the checker's model. */
import type { RequestDirectives } from "../../src/core/freshness.ts";
import type { WriteConditions } from "../../src/core/precondition.ts";
import type { AtollNode } from "../../src/node/node.ts";
import type { Upload } from "../../src/node/put-object.ts";
import type { Model } from "./linearizability.ts";
import { HASHING } from "./memory-ring.ts";

export type Input =
  | { readonly kind: "read" }
  | { readonly kind: "delete" }
  | { readonly kind: "put" | "create"; readonly text: string }
  | { readonly kind: "cas"; readonly text: string; readonly ifVersion: number };

export type Output =
  | { readonly kind: "found"; readonly version: number; readonly sha256: string }
  | { readonly kind: "absent" | "deleted" | "conflict"; readonly version: number }
  | { readonly kind: "stored"; readonly version: number; readonly created: boolean };

/** `sha256`: null where there is no object. */
interface State {
  readonly version: number;
  readonly sha256: string | null;
}

const CURRENT: RequestDirectives = { noCache: true, onlyIfCached: false };

export const OBJECT_MODEL: Model<State, Input, Output> = {
  initial: { version: 0, sha256: null },
  key: ({ version, sha256 }) => `${version} ${sha256}`,
  apply(state, input, output) {
    const { after, answer } = perform(state, input);
    return !output || same(output, answer) ? after : undefined;
  },
};

function perform(state: State, input: Input): { after: State; answer: Output } {
  const { version, sha256 } = state;
  switch (input.kind) {
    case "read":
      return {
        after: state,
        answer: sha256 === null ? { kind: "absent", version } : { kind: "found", version, sha256 },
      };
    case "delete":
      if (sha256 === null) return { after: state, answer: { kind: "deleted", version } };
      return {
        after: { version: version + 1, sha256: null },
        answer: { kind: "deleted", version: version + 1 },
      };
    default: {
      const live = sha256 === null ? 0 : version;
      if ((input.kind === "create" && live > 0) || (input.kind === "cas" && input.ifVersion !== live)) {
        return { after: state, answer: { kind: "conflict", version: live } };
      }
      return {
        after: { version: version + 1, sha256: HASHING.sha256(bytesOf(input.text)) },
        answer: { kind: "stored", version: version + 1, created: live === 0 },
      };
    }
  }
}

/** The same, asked of a node. */
export async function ask({ objects }: AtollNode, name: string, input: Input): Promise<Output> {
  switch (input.kind) {
    case "read": {
      const located = await objects.locate(name, CURRENT);
      if (located.kind === "not-cached") {
        throw new Error("wanted an answer, only-if-cached was not asked for");
      }
      if (located.kind === "absent") return located;
      return { kind: "found", version: located.object.version, sha256: located.object.manifest.sha256 };
    }
    case "delete": {
      const outcome = await objects.delete(name, {});
      if (outcome.kind === "conflict") throw new Error("wanted no conflict, there was no condition");
      return { kind: "deleted", version: outcome.version ?? 0 };
    }
    default: {
      const outcome = await objects.put(uploadOf(name, bytesOf(input.text)), conditionsOf(input));
      if (outcome.kind === "conflict") return { kind: "conflict", version: outcome.current?.version ?? 0 };
      return { kind: "stored", version: outcome.version, created: outcome.created };
    }
  }
}

function conditionsOf(input: Input): WriteConditions {
  if (input.kind === "create") return { ifNoneMatch: "*" };
  return input.kind === "cas" ? { ifVersion: input.ifVersion } : {};
}

/** An upload of one part and announced length. */
export function uploadOf(name: string, bytes: Uint8Array, headers: Record<string, string> = {}): Upload {
  return { name, body: oneByOne([bytes]), maxBytes: 1 << 30, sizeBytes: bytes.length, digests: [], headers };
}

export async function* oneByOne(parts: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* parts;
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function same(a: Output, b: Output): boolean {
  return a.kind === b.kind && a.version === b.version &&
    (a.kind !== "found" || b.kind !== "found" || a.sha256 === b.sha256) &&
    (a.kind !== "stored" || b.kind !== "stored" || a.created === b.created);
}
