/** Attempts to get in by the public door with presigned URLs that are forged, late, or for something else. */
import assert from "node:assert/strict";
import { KEYS, presigned } from "../helpers/credentials.ts";
import type { Attempt } from "./doors-requests.ts";

const { admin, reader, dropper } = KEYS;
const nowSeconds = () => Math.floor(Date.now() / 1000);
const tampered = (target: string, from: string | RegExp, to: string): string => {
  const changed = target.replace(from, to);
  assert.notEqual(changed, target, "it was tampered with");
  return changed;
};
const flipped = (target: string) => tampered(target, /.$/, target.endsWith("0") ? "1" : "0");

export const PRESIGNED: readonly Attempt[] = [
  { what: "a forged signature", status: 403, target: () => flipped(presigned(reader, "/docs/a")) },
  {
    what: "signed with another's secret",
    status: 403,
    target: () => presigned({ ...reader, secret: dropper.secret }, "/docs/a"),
  },
  {
    what: "signed in another's name",
    status: 403,
    target: () => tampered(presigned(reader, "/docs/a"), "=reader", "=root"),
  },
  {
    what: "signed by an unknown key",
    status: 403,
    target: () => presigned({ ...reader, id: "nobody" }, "/docs/a"),
  },
  { what: "expired", status: 403, target: () => presigned(reader, "/docs/a", { expires: nowSeconds() - 1 }) },
  {
    what: "expired, with the expiry put off",
    status: 403,
    target: () =>
      tampered(
        presigned(reader, "/docs/a", { expires: nowSeconds() - 1 }),
        /expires=\d+/,
        `expires=${nowSeconds() + 60}`,
      ),
  },
  {
    what: "good for longer than a week",
    status: 403,
    target: () => presigned(reader, "/docs/a", { expires: nowSeconds() + 8 * 86_400 }),
  },
  {
    what: "signed for GET, used to PUT",
    status: 403,
    method: "PUT",
    target: () => presigned(admin, "/docs/new"),
    body: "x",
  },
  {
    what: "signed for GET, used to DELETE",
    status: 403,
    method: "DELETE",
    target: () => presigned(admin, "/docs/a"),
  },
  {
    what: "signed for PUT, used to GET",
    status: 403,
    target: () => presigned(admin, "/docs/a", { method: "PUT" }),
  },
  {
    what: "signed for another path",
    status: 403,
    target: () => presigned(reader, "/docs/in/a", { signedPath: "/docs/a" }),
  },
  {
    what: "signed for the path, escaped otherwise",
    status: 403,
    target: () => presigned(reader, "/docs/%61", { signedPath: "/docs/a" }),
  },
  {
    what: "signed for a bucket, used below it",
    status: 403,
    target: () => presigned(reader, "/docs/a", { signedPath: "/docs/" }),
  },
  { what: "a signature for a page", status: 403, target: () => presigned(admin, "/_/ring") },
  { what: "a signature for the metrics", status: 403, target: () => presigned(admin, "/metrics") },
  {
    what: "a parameter that was not signed",
    status: 403,
    target: () => `${presigned(reader, "/docs/a")}&x=1`,
  },
  {
    what: "the signature twice",
    status: 403,
    target: () => `${presigned(reader, "/docs/a")}&atoll-signature=${"0".repeat(64)}`,
  },
  {
    what: "a larger limit than was signed",
    status: 403,
    method: "PUT",
    target: () =>
      tampered(presigned(dropper, "/docs/in/new", { method: "PUT", maxBytes: 1 }), "bytes=1", "bytes=9"),
    body: "12",
  },
  {
    what: "without the limit that was signed",
    status: 403,
    method: "PUT",
    target: () =>
      tampered(presigned(dropper, "/docs/in/new", { method: "PUT", maxBytes: 1 }), "&atoll-max-bytes=1", ""),
    body: "12",
  },
  {
    what: "more than was signed for",
    status: 413,
    method: "PUT",
    target: () => presigned(dropper, "/docs/in/new", { method: "PUT", maxBytes: 1 }),
    body: "12",
  },
  {
    what: "more than was signed for, in chunks",
    status: 413,
    method: "PUT",
    target: () => presigned(dropper, "/docs/in/new", { method: "PUT", maxBytes: 1 }),
    lines: ["Transfer-Encoding: chunked"],
    body: "2\r\n12\r\n0\r\n\r\n",
  },
  {
    what: "another type than was signed for",
    status: 403,
    method: "PUT",
    target: () => presigned(dropper, "/docs/in/new", { method: "PUT", contentType: "text/plain" }),
    lines: ["Content-Type: text/html"],
    body: "x",
  },
  {
    what: "no type where one was signed for",
    status: 403,
    method: "PUT",
    target: () => presigned(dropper, "/docs/in/new", { method: "PUT", contentType: "text/plain" }),
    body: "x",
  },
  { what: "signed by a key that may not", status: 403, target: () => presigned(dropper, "/docs/in/a") },
  {
    what: "signed to write, used to ask",
    status: 403,
    method: "PUT",
    target: () => presigned(admin, "/docs/a", { method: "PUT" }),
    lines: ['If-None-Match: "x"'],
    body: "x",
  },
];
