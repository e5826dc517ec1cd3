import { describe, expect, it } from 'vitest';
import { PickleCutOff, PickleError } from './pickle-reader.ts';
import { PickleCall, unpickle } from './unpickle.ts';

const options = {
  globals: new Map<string, unknown>([['collections.OrderedDict', new PickleCall(() => new Map())]]),
  persistent: (id: unknown) => ({ id }),
};
const read = (bytes: Buffer) => unpickle(bytes, 0, options).value;
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const repeated = (text: string, count: number) => hex(text.repeat(count));

describe('a pickle', () => {
  it.each<[string, string, unknown]>([
    ['None', '8002 4e 2e', null],
    ['True', '8002 88 2e', true],
    ['a byte', '8002 4b2a 2e', 42],
    ['a negative number', '8002 4afeffffff 2e', -2],
    ['a long number', '8002 8a0a6cfc9c46f9206aa85019 2e', 0x1950a86a20f9469cfc6cn],
    ['a long number of no bytes', '8002 8a00 2e', 0],
    ['a float', '8002 473fb999999999999a 2e', 0.1],
    ['a text', '8002 5803000000616263 71 00 2e', 'abc'],
    ['a list', '8002 5d7100 28 4b01 4b02 65 2e', [1, 2]],
    ['a tuple', '8002 4b01 4e 86 2e', [1, null]],
    ['a dict', '8002 7d7100 58010000006171014b0173 2e', new Map([['a', 1]])],
    ['what was stored', '8002 5d 7100 68 00 61 30 4b01 2e', 1],
    ['a persistent id', '8002 4b07 51 2e', { id: 7 }],
    ['attributes of a dict', '8002 7d 7d 62 2e', new Map()],
  ])('of %s is read', (_name, bytes, value) => {
    expect(read(hex(bytes))).toEqual(value);
  });

  it('says where it ends', () => {
    expect(unpickle(hex('80024b012e80024b022e'), 5, options)).toEqual({ value: 2, end: 10 });
  });

  it('cannot have calls read one list again and again', () => {
    const list = `5d7100 28${'4e'.repeat(1000)}65 30`;
    const dict = Buffer.from('ccollections\nOrderedDict\n').toString('hex');
    const call = '6801 6800 85 52 30';
    const pickle = (calls: number) =>
      hex(`8002 ${list} ${dict}7101 30 ${call.repeat(calls)} 4e 2e`);
    expect(read(pickle(1))).toBe(null);
    expect(() => read(pickle(100))).toThrow(/read more entries of lists than it has bytes/);
  });

  it.each<[string, Buffer, RegExp]>([
    ['a global', Buffer.from('\x80\x02cos\nsystem\n.', 'latin1'), /asks for "os\.system"/],
    ['a built-in', Buffer.from('\x80\x02cbuiltins\neval\n.', 'latin1'), /"builtins\.eval"/],
    [
      'an attribute of what is known',
      Buffer.from('\x80\x02ccollections\nOrderedDict.x\n.', 'latin1'),
      /asks/,
    ],
    ['a call of a text', hex('80025801000000612952 2e'), /calls what is no function/],
    ['an instance', hex('80025d 5d 81 2e'), /instruction 0x81/],
    ['an instance of Python 2', hex('8002286f2e'), /instruction 0x6f/],
    ['attributes of a list', hex('80025d7d622e'), /attributes of what is no dict/],
    ['a number of megabytes', hex('80028b00000010 2e'), /number of 268435456 bytes/],
    ['a value that was not stored', hex('80026805 2e'), /recalls value 5/],
    ['nothing', hex('80022e'), /takes from nothing/],
    ['half a dict', hex('80027d284b01752e'), /fills what is no dict/],
    ['two values', hex('80024b014b022e'), /ends in the middle/],
    ['an unknown protocol', hex('8009 4e2e'), /protocol 9/],
  ])('with %s is refused', (_name, bytes, message) => {
    expect(() => read(bytes)).toThrow(message);
    expect(() => read(bytes)).toThrow(PickleError);
  });

  it('that is cut off says so', () => {
    for (const bytes of ['', '80', '8002 58ff000000', '8002 4b', '8002 636f73']) {
      expect(() => read(hex(bytes))).toThrow(PickleCutOff);
    }
  });

  it('of lists in lists a million deep needs no stack of calls', () => {
    const depth = 1_000_000;
    const nested = Buffer.concat([
      hex('8002'),
      repeated('5d', depth),
      repeated('61', depth - 1),
      hex('2e'),
    ]);
    expect(Array.isArray(read(nested))).toBe(true);
  });

  it('that doubles a list forty times takes the memory of forty lists', () => {
    // Each list holds the one before twice: written out, the last would have 2^40 members.
    const byte = (value: number) => value.toString(16).padStart(2, '0');
    const [start, end] = [`80025d71${byte(0)}`, `4e86${'30'.repeat(40)}30 4e2e`];
    const steps = Array.from({ length: 40 }, (_, i) => {
      const before = `68${byte(i)}`;
      return `5d28${before}${before}6571${byte(i + 1)}`;
    });
    expect(read(hex(start + steps.join('') + end))).toBe(null);
  });
});
