/** W3C's `traceparent` header: of which trace a request is a part, and which span of it sends it. */

export const TRACEPARENT_HEADER = 'traceparent';

/** A span of a trace, as others hear of it. */
export type TraceContext = {
  /** 32 hexadecimal digits, not all 0. */
  traceId: string;
  /** 16 hexadecimal digits, not all 0. */
  spanId: string;
  /** Whether somebody records the trace. */
  isSampled: boolean;
};

/** Of later versions more may follow, behind a hyphen. */
const PATTERN =
  /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/**
 * Null for what is no valid header: a new trace begins then, as the specification asks for.
 * @example parseTraceparent('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')?.isSampled // true
 */
export function parseTraceparent(header: string | null | undefined): TraceContext | null {
  const [, version, traceId, spanId, flags, more] = PATTERN.exec(header ?? '') ?? [];
  if (traceId === undefined || spanId === undefined) return null;
  if (version === '00' && more !== undefined) return null;
  return { traceId, spanId, isSampled: (Number(`0x${flags}`) & 1) === 1 };
}

/** The header that says it. */
export function traceparentOf({ traceId, spanId, isSampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`;
}
