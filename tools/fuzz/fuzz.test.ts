/** The machine around the targets: what it finds is small, comes again with its seed, and is kept in a file. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { editBytes } from './generate/byte-edits.ts';
import { editJson } from './generate/json-edits.ts';
import { expectNoLeak } from './http/leaks.ts';
import { decodeInput, encodeInput, inputsIn, keepInput, readInput } from './input-file.ts';
import { runTarget } from './run-target.ts';
import type { OpenTarget } from './target.ts';
import { ThreadHost } from './thread-host.ts';
import { Violation } from './violation.ts';

/** Fails for some inputs. @param seen gets all inputs */
function faulty(fails: (n: number) => string | null, seen: number[] = []): OpenTarget<number> {
  return {
    inputs: fc.nat(1000),
    run: async (n) => {
      seen.push(n);
      const why = fails(n);
      if (why !== null) throw new Violation(why);
      return n % 2 === 0 ? 'even' : 'odd';
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

const options = { seed: 7, cases: 400, lanes: 2 };

describe('a run of a target', () => {
  it('counts outcomes, and ends with as many cases as it should', async () => {
    const { cases, outcomes, findings } = await runTarget(
      faulty(() => null),
      options,
    );
    expect(cases).toBe(400);
    expect([...outcomes.keys()].sort()).toEqual(['even', 'odd']);
    expect(findings).toEqual([]);
  });

  it('makes a failing input small, counts the like of it once, and goes on', async () => {
    const target = faulty((n) => (n >= 300 ? `${n} is too much` : null));
    const { cases, findings } = await runTarget(target, options);
    expect(cases).toBe(400);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ input: 300 });
    expect(findings[0]?.times).toBeGreaterThan(100);
  });

  it('tells findings of different kinds apart', async () => {
    const target = faulty((n) => (n > 900 ? 'large' : n < 100 ? 'small' : null));
    const { findings } = await runTarget(target, options);
    expect(findings.map(({ violation }) => violation).sort()).toEqual(['large', 'small']);
  });

  it('makes the same inputs of the same seed, and others of another', async () => {
    const inputsOf = async (seed: number, lanes: number) => {
      const seen: number[] = [];
      await runTarget(
        faulty(() => null, seen),
        { ...options, seed, lanes },
      );
      return seen.sort((a, b) => a - b);
    };
    const first = await inputsOf(1, 1);
    expect(await inputsOf(1, 3)).toEqual(first);
    expect(await inputsOf(2, 1)).not.toEqual(first);
  });

  it('reports what is wrong when all is over', async () => {
    const target = { ...faulty(() => null), settle: () => Promise.reject(new Violation('a leak')) };
    const { findings } = await runTarget(target, options);
    expect(findings).toEqual([{ violation: 'a leak', times: 1 }]);
  });

  it('makes no further inputs when its time is over', async () => {
    const { cases } = await runTarget(
      faulty(() => null),
      { ...options, until: 0 },
    );
    expect(cases).toBe(0);
  });
});

describe('an input in a file', () => {
  let corpus: string;
  beforeAll(async () => {
    corpus = await mkdtemp(join(tmpdir(), 'blip2-corpus-'));
  });
  afterAll(() => rm(corpus, { recursive: true, force: true }));

  it('comes back as it was', async () => {
    const input = {
      bytes: Uint8Array.of(0, 255),
      numbers: [Number.NaN, -0, Number.NEGATIVE_INFINITY],
      text: '\ud800',
    };
    expect(decodeInput(encodeInput(input))).toEqual(input);
    const kept = { target: 'frames', violation: 'Frames come back as others', input };
    const path = await keepInput(corpus, kept);
    expect(await keepInput(corpus, kept)).toBe(path);
    expect(await inputsIn(corpus)).toEqual([path]);
    expect(await readInput(path)).toEqual(kept);
  });
});

describe('changes', () => {
  it.each([
    [{ at: 0, do: 'replace', text: 'NaN' } as const, 'NaN'],
    [{ at: 1, do: 'remove' } as const, '{"b":[2,3]}'],
    [{ at: 1, do: 'rename', name: '"' } as const, '{"\\"":1,"b":[2,3]}'],
    [{ at: 1, do: 'repeat', text: '{}' } as const, '{"a":1,"b":[2,3],"a":{}}'],
    [{ at: 3, do: 'wrap' } as const, '{"a":1,"b":[[2],3]}'],
    [
      { at: 0, do: 'add', name: '__proto__', text: '1' } as const,
      '{"a":1,"b":[2,3],"__proto__":1}',
    ],
  ])('of JSON: %o', (edit, text) => {
    expect(editJson({ a: 1, b: [2, 3] }, [edit])).toBe(text);
  });

  it.each([
    [{ at: 1, do: 'flip', bit: 7 } as const, [1, 130, 3]],
    [{ at: 2, do: 'set', bytes: Uint8Array.of(9, 9) } as const, [1, 2, 9, 9]],
    [{ at: 4, do: 'insert', bytes: Uint8Array.of(9) } as const, [1, 9, 2, 3]],
    [{ at: 0, do: 'remove', count: 2 } as const, [3]],
    [{ at: 2, do: 'repeat', count: 1, times: 2 } as const, [1, 2, 3, 3, 3]],
    [{ at: 2, do: 'copy', count: 1, to: 0 } as const, [3, 1, 2, 3]],
    [{ at: 1, do: 'cut' } as const, [1]],
  ])('of bytes: %o', (edit, bytes) => {
    expect([...editBytes(Uint8Array.of(1, 2, 3), [edit])]).toEqual(bytes);
  });
});

describe('a reply', () => {
  it.each([
    'TypeError: x.map is not a function',
    'Cannot read properties of undefined',
    'failed\n    at run (/app/x.js:1:2)',
    '/srv/node_modules/hono/x',
    'file:///srv/a.ts',
    'VipsJpeg: premature end',
    'ONNXRuntimeError',
    'ENOENT in C:\\x',
  ])('that shows the inside is found: %s', (text) => {
    expect(() => expectNoLeak(JSON.stringify({ detail: text }), '')).toThrow(Violation);
    expect(() =>
      expectNoLeak(JSON.stringify({ detail: text }), JSON.stringify(text)),
    ).not.toThrow();
  });

  it('that says what is wrong is none of these', () => {
    expect(() => expectNoLeak('{"detail":"max_tokens must be a whole number"}', '')).not.toThrow();
  });
});

it('a thread that fails says how, and the next input has one again', async () => {
  await using host = new ThreadHost('frames');
  await expect(host.run({ kind: 'bytes', bytes: 1, cuts: [] })).rejects.toThrow(/TypeError/);
  const bytes = Uint8Array.of(9);
  expect(await host.run({ kind: 'bytes', bytes, cuts: [] })).toBe('truncated');
});
