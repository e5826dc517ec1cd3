/**
 * Serializes errors, so that they cross a thread boundary whole. `postMessage` clones an Error but drops its class, its own properties, and
 * throws where one of them cannot be cloned; plain data carries what a log needs.
 */

/** An error as plain data. */
export type SerializedError = {
  /** `name` of the error: its type. */
  name: string;
  message: string;
  stack?: string;
  /** Of a system error, such as `ENOENT`. */
  code?: string;
  cause?: SerializedError;
};

/** A chain of causes longer than this is cut: it may lead back into itself. */
const MOST_CAUSES = 8;

/**
 * @param error whatever was thrown; what is no Error is named by its type
 * @example serializeError(new RangeError('too long')) // { name: 'RangeError', message: 'too long', stack: '…' }
 */
export function serializeError(error: unknown, causes = MOST_CAUSES): SerializedError {
  if (!(error instanceof Error)) return { name: typeof error, message: String(error) };
  const { name, message, stack, cause } = error;
  const code = 'code' in error ? error.code : undefined;
  return {
    name: String(name),
    message: String(message),
    ...(typeof stack === 'string' ? { stack } : {}),
    ...(typeof code === 'string' ? { code } : {}),
    ...(cause !== undefined && causes > 0 ? { cause: serializeError(cause, causes - 1) } : {}),
  };
}

/** An Error that prints like the one that was serialized, with the stack of where it was thrown. */
export function deserializeError({ name, message, stack, code, cause }: SerializedError): Error {
  const error = new Error(
    message,
    cause === undefined ? undefined : { cause: deserializeError(cause) },
  );
  // The stack of this function would be of no use.
  const hidden = { enumerable: false, writable: true, configurable: true };
  Object.defineProperty(error, 'name', { ...hidden, value: name });
  Object.defineProperty(error, 'stack', { ...hidden, value: stack ?? `${name}: ${message}` });
  return code === undefined ? error : Object.assign(error, { code });
}
