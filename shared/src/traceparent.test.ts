import { describe, expect, it } from 'vitest';
import { parseTraceparent, traceparentOf } from './traceparent.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const context = { traceId: TRACE, spanId: SPAN, isSampled: true };

describe('traceparent', () => {
  it.each([
    [`00-${TRACE}-${SPAN}-01`, true],
    [`00-${TRACE}-${SPAN}-00`, false],
    // Flags that are not known yet.
    [`00-${TRACE}-${SPAN}-03`, true],
    [`00-${TRACE}-${SPAN}-fe`, false],
    // A version to come.
    [`01-${TRACE}-${SPAN}-01-what-will-be`, true],
  ])('%s is read', (header, isSampled) => {
    expect(parseTraceparent(header)).toEqual({ ...context, isSampled });
  });

  it.each([
    undefined,
    null,
    '',
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-01-more`,
    `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
    `01-${TRACE}-${SPAN}-01more`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE}-${SPAN}-1`,
    ` 00-${TRACE}-${SPAN}-01\n`,
  ])('%j is none', (header) => {
    expect(parseTraceparent(header)).toBeNull();
  });

  it('is written as it is read', () => {
    expect(parseTraceparent(traceparentOf(context))).toEqual(context);
    const unsampled = { ...context, isSampled: false };
    expect(parseTraceparent(traceparentOf(unsampled))).toEqual(unsampled);
  });
});
