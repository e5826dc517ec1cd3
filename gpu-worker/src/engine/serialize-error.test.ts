import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { deserializeError, serializeError } from './serialize-error.ts';

/** What comes out at the other side of a thread boundary. */
const transferred = (error: unknown) => deserializeError(structuredClone(serializeError(error)));

describe('an error that crosses a thread boundary', () => {
  it('has its type, message and stack on the other side', () => {
    const error = new RangeError('400 positions do not fit');
    const arrived = transferred(error);
    expect(arrived).toBeInstanceOf(Error);
    expect(arrived.name).toBe('RangeError');
    expect(arrived.message).toBe('400 positions do not fit');
    expect(arrived.stack).toBe(error.stack);
    expect(arrived.stack).toContain('serialize-error.test.ts');
  });

  it('has the chain of its causes, which is printed with it', () => {
    const root = Object.assign(new Error('no such file'), { code: 'ENOENT' });
    const arrived = transferred(
      new Error('the model was not loaded', {
        cause: new TypeError('the session failed', { cause: root }),
      }),
    );
    const cause = arrived.cause as Error;
    expect(cause).toMatchObject({ name: 'TypeError', message: 'the session failed' });
    expect(cause.cause).toMatchObject({ message: 'no such file', code: 'ENOENT' });
    expect(inspect(arrived)).toMatch(
      /the model was not loaded.*TypeError\]?: the session failed.*ENOENT/s,
    );
  });

  it('arrives although a property of it cannot be cloned', () => {
    const error = Object.assign(new Error('the run failed'), { session: { run: () => {} } });
    expect(() => structuredClone({ ...error })).toThrow();
    expect(transferred(error)).toMatchObject({ name: 'Error', message: 'the run failed' });
  });

  it('arrives although its causes are circular', () => {
    const error = new Error('round and round');
    error.cause = error;
    expect((transferred(error).cause as Error).message).toBe('round and round');
  });

  it.each<[unknown, string, string]>([
    ['out of memory', 'string', 'out of memory'],
    [undefined, 'undefined', 'undefined'],
    [{ code: 7 }, 'object', '[object Object]'],
  ])('is named by its type when it is %j and no Error', (thrown, name, message) => {
    expect(transferred(thrown)).toMatchObject({ name, message });
  });
});
