/** HTTP/2 frames by hand (RFC 9113), headers as literals that no table knows (RFC 7541 section 6.2.2). */
import { Buffer } from "node:buffer";

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;

export const END_STREAM = 0x1;
export const END_HEADERS = 0x4;

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const HEAD_BYTES = 9;
const FRAME_BYTES_MAX = 16_384;
const INITIAL_WINDOW_SIZE = 4;
const WINDOW_BYTES = 0x3fffffff;

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.allocUnsafe(9);
  head.writeUIntBE(payload.length & 0xffffff, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** As few as can be: what a listener takes without having said more is 16 KiB each (section 4.2). */
export function dataFrames(stream: number, bytes: Buffer, lastFlags: number): Buffer[] {
  const frames: Buffer[] = [];
  let at = 0;
  for (; bytes.length - at > FRAME_BYTES_MAX; at += FRAME_BYTES_MAX) {
    frames.push(frame(FRAME.data, 0, stream, bytes.subarray(at, at + FRAME_BYTES_MAX)));
  }
  return [...frames, frame(FRAME.data, lastFlags, stream, bytes.subarray(at))];
}

export interface Frame {
  readonly type: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** One direction of a connection, without the preface: the frames that are whole, however the bytes are cut. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  take(part: Buffer): Frame[] {
    const frames: Frame[] = [];
    let all = this.#rest.length === 0 ? part : Buffer.concat([this.#rest, part]);
    while (all.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + all.readUIntBE(0, 3);
      if (all.length < end) break;
      frames.push({ type: all[3]!, stream: all.readUInt32BE(5), payload: all.subarray(HEAD_BYTES, end) });
      all = all.subarray(end);
    }
    this.#rest = Buffer.from(all);
    return frames;
  }
}

/** With windows so wide that no answer has to wait for leave. */
export function greeting(): Buffer {
  const setting = Buffer.allocUnsafe(6);
  setting.writeUInt16BE(INITIAL_WINDOW_SIZE, 0);
  setting.writeUInt32BE(WINDOW_BYTES, 2);
  const window = Buffer.allocUnsafe(4);
  window.writeUInt32BE(WINDOW_BYTES, 0);
  return Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0, setting), frame(FRAME.window, 0, 0, window)]);
}

export function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(headers)) parts.push(Buffer.from([0]), text(name), text(value));
  return Buffer.concat(parts);
}

/** Its length in 7 bits or more (section 5.1), then as it is. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let left = bytes.length - 127;
  for (; left >= 128; left >>>= 7) length.push((left & 127) | 128);
  length.push(left);
  return Buffer.concat([Buffer.from(length), bytes]);
}
