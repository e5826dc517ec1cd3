import { describe, expect, it } from 'vitest';
import { createLogger, type LoggerOptions } from './logger.ts';

const now = () => new Date('2026-03-01T09:08:07.006Z');

function logger(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  return { lines, log: createLogger({ level: 'info', write, now, ...options }) };
}

describe('the logger', () => {
  it('writes a JSON object a line, with what belongs to a request', () => {
    const { lines, log } = logger();
    log.child({ request_id: 'a' }).info('request', { ms: 7 });
    expect(lines).toEqual([
      '{"time":"2026-03-01T09:08:07.006Z","level":"info","event":"request","request_id":"a","ms":7}\n',
    ]);
  });

  it.each([
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['silent', []],
  ] as const)('at level %s writes %o', (level, levels) => {
    const { lines, log } = logger({ level });
    for (const each of ['debug', 'info', 'warn', 'error'] as const) log[each]('event');
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(levels);
  });

  it('writes an error with its stack and its causes', () => {
    const { lines, log } = logger();
    const cause = new RangeError('far too large');
    log.error('internal-error', { error: new Error('it failed', { cause }) });
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      error: {
        name: 'Error',
        message: 'it failed',
        stack: expect.stringMatching(/logger\.test/),
        cause: { name: 'RangeError', message: 'far too large' },
      },
    });
  });

  it('writes readable lines for a terminal, in which no value can begin another line', () => {
    const { lines, log } = logger({ pretty: true });
    log.warn('download', { checkpoint: 'a/b', label: '1 of\n2', nothing: undefined });
    expect(lines).toEqual(['09:08:07.006 WARN  download checkpoint=a/b label="1 of\\n2"\n']);
  });
});
