/** `multipart/byteranges` (RFC 9110 section 14.6): what stands around the parts, and how long it all is. */
import type { ByteRange } from "../core/range.ts";
import { assert } from "../errors.ts";

export interface MultipartPlan {
  /** For the answer's `Content-Type`. */
  readonly contentType: string;
  /** For its `Content-Length`. */
  readonly totalBytes: number;
  /** Send `head`, then the object's bytes of `range`, part by part. */
  readonly parts: readonly { readonly head: Uint8Array<ArrayBuffer>; readonly range: ByteRange }[];
  /** After the last part. */
  readonly tail: Uint8Array<ArrayBuffer>;
}

/** RFC 2046 section 5.1.1, less what would need quotes. */
const BOUNDARY = /^[0-9A-Za-z'+_.-]{1,70}$/;
const ENCODER = new TextEncoder();

/** `boundary`: unpredictable, so that no stored object can hold it. `contentType`: of the object. */
export function planMultipart(of: {
  readonly boundary: string;
  readonly contentType: string | undefined;
  readonly sizeBytes: number;
  readonly ranges: readonly ByteRange[];
}): MultipartPlan {
  assert(BOUNDARY.test(of.boundary), "a boundary is 1 to 70 characters that need no quotes");
  assert(of.ranges.length > 0, "a multipart answer has a part");
  const type = of.contentType === undefined ? "" : `Content-Type: ${of.contentType}\r\n`;
  const parts = of.ranges.map((range, index) => {
    assert(range.first <= range.last && range.last < of.sizeBytes, "a range lies within the object");
    const delimiter = `${index === 0 ? "" : "\r\n"}--${of.boundary}\r\n`;
    const contentRange = `Content-Range: bytes ${range.first}-${range.last}/${of.sizeBytes}\r\n\r\n`;
    return { head: ENCODER.encode(delimiter + type + contentRange), range };
  });
  const tail = ENCODER.encode(`\r\n--${of.boundary}--\r\n`);
  const totalBytes = parts.reduce(
    (sum, { head, range }) => sum + head.length + range.last - range.first + 1,
    tail.length,
  );
  return { contentType: `multipart/byteranges; boundary=${of.boundary}`, totalBytes, parts, tail };
}
