/** Why a checkpoint cannot be pulled. */

/** The message names what is wrong and what to do; `status` is the hub's, where it answered. */
export class HubError extends Error {
  override readonly name: string = 'HubError';
  readonly status: number | undefined;

  constructor(message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.status = options.status;
  }
}

/** Something that may pass: a cut connection, a busy server. The next attempt may succeed. */
export class InterruptedError extends HubError {
  override readonly name = 'InterruptedError';
  /** How long the server asks to be left alone. */
  readonly retryAfterMs: number | undefined;
  /** No connection came about at all: no name, no route, no listener. */
  readonly unreachable: boolean;

  constructor(
    message: string,
    options: {
      status?: number;
      cause?: unknown;
      retryAfterMs?: number;
      unreachable?: boolean;
    } = {},
  ) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
    this.unreachable = options.unreachable ?? false;
  }
}
