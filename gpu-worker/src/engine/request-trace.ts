/** The trace of one request, as those get it who do something for it. */

export type StepAttributes = Readonly<Record<string, string | number>>;

export type RequestTrace = {
  /** 32 hexadecimal digits; undefined where nobody records it. */
  readonly traceId: string | undefined;
  /** Whether this worker records it: what is not recorded need not be found out. */
  readonly isRecorded: boolean;
  /** Adds a step that is over; the times are milliseconds of this process's clock. Later than the end of the request is not too late. */
  step: (name: string, startedAt: number, endedAt: number, attributes?: StepAttributes) => void;
};

/** Of a request that nobody traces. */
export const UNTRACED: RequestTrace = { traceId: undefined, isRecorded: false, step: () => {} };
