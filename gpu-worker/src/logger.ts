/**
 * The one logger of the GPU worker: a JSON object a line, or on a terminal a line to read.
 *
 * Nothing of an image, a question or a token is ever logged. A library would bring a dozen packages for levels, fields
 * that a request's lines share, and errors with their causes.
 */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export type LogFields = Readonly<Record<string, unknown>>;

/** Writes one event: its name, in few words with hyphens, and what belongs to it. */
type Write = (event: string, fields?: LogFields) => void;

export type Logger = {
  debug: Write;
  info: Write;
  warn: Write;
  error: Write;
  /** A logger whose every line has these fields too. */
  child: (fields: LogFields) => Logger;
};

export type LoggerOptions = {
  /** The least level that is written. */
  level: LogLevel;
  /** Called with each line, its line break included. */
  write: (line: string) => void;
  /** Lines to read, for a terminal. */
  pretty?: boolean;
  now?: () => Date;
};

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];

/**
 * @example createLogger({ level: 'info', write: (line) => process.stderr.write(line) }).info('ready', { port: 8788 })
 *   // {"time":"2026-03-01T09:00:00.000Z","level":"info","event":"ready","port":8788}
 */
export function createLogger(options: LoggerOptions): Logger {
  return withFields(options, {});
}

/** Writes nothing. */
export const SILENT: Logger = createLogger({ level: 'silent', write: () => {} });

function withFields(options: LoggerOptions, shared: LogFields): Logger {
  const { level: least, write, pretty = false, now = () => new Date() } = options;
  const format = pretty ? readable : JSON.stringify;
  const at =
    (level: LogLevel): Write =>
    (event, fields = {}) => {
      if (LEVELS.indexOf(level) < LEVELS.indexOf(least)) return;
      const line = { time: now().toISOString(), level, event, ...shared, ...withErrors(fields) };
      write(`${format(line)}\n`);
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => withFields(options, { ...shared, ...fields }),
  };
}

type Line = { time: string; level: LogLevel; event: string };

function readable({ time, level, event, ...fields }: Line): string {
  const text = (value: unknown) => {
    if (typeof value === 'string' && !/[\s"]/.test(value)) return value;
    return JSON.stringify(value) ?? '';
  };
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => (name === 'error' ? `\n${stackOf(value)}` : `${name}=${text(value)}`));
  return [time.slice(11, 23), level.toUpperCase().padEnd(5), event, ...pairs].join(' ');
}

function stackOf(error: unknown): string {
  const { stack, message, cause } = error as { stack?: string; message?: string; cause?: unknown };
  const own = stack ?? message ?? JSON.stringify(error);
  return cause === undefined ? own : `${own}\ncaused by ${stackOf(cause)}`;
}

function withErrors(fields: LogFields): LogFields {
  const entries = Object.entries(fields).map(([name, value]) => [name, plain(value)]);
  return Object.fromEntries(entries);
}

/** An error as data, its causes too; anything else as it is. */
function plain(value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const { name, message, stack, cause } = value;
  return { name, message, stack, ...(cause === undefined ? {} : { cause: plain(cause) }) };
}
