/** W3C Trace Context, level 1: `traceparent` is read, continued and passed on; nothing is recorded here. */

export interface TraceParent {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex digits, not all zero: whose child the reader is. */
  readonly spanId: string;
  readonly sampled: boolean;
}

export interface Trace extends TraceParent {
  /** The span that this one continues; undefined where the trace begins. */
  readonly parentSpanId: string | undefined;
  /** The header for those called from here. */
  readonly header: string;
}

const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED = 0x01;
/** Section 3.2.2.2 sets no limit on what a later version appends; a log line does. */
const HEADER_CHARS_MAX = 512;

/** Undefined where the specification says to start anew. */
export function parseTraceparent(header: string | undefined): TraceParent | undefined {
  if (!header || header.length > HEADER_CHARS_MAX) return undefined;
  const [, version, traceId, spanId, flags, rest] = FORM.exec(header) ?? [];
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined) {
    return undefined;
  }
  if (version === "ff") return undefined;
  if (version === "00" && rest !== undefined) return undefined; // only later versions may say more
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

/** In version 00, whatever version it was read from; flags unknown to it are dropped, as section 3.2.2.5 demands. */
export function formatTraceparent({ traceId, spanId, sampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

/** A child of what came, or the root of a new trace. The new ids: 16 and 32 hex digits. */
export function continueTrace(header: string | undefined, newSpanId: string, newTraceId: string): Trace {
  const parent = parseTraceparent(header);
  const own: TraceParent = {
    traceId: parent?.traceId ?? newTraceId,
    spanId: newSpanId,
    sampled: parent?.sampled ?? false,
  };
  return { ...own, parentSpanId: parent?.spanId, header: formatTraceparent(own) };
}
