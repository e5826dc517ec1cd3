/** Texts that software has stumbled over: numbers at limits, odd strings, deep nesting. */
import * as fc from 'fast-check';

/** Numbers as JSON's text, and what some parsers take for one. */
const NUMBERS = [
  ...['0', '-0', '-1', '1', '0.5', '1.5', '255', '256', '65535', '65536', '1000001', '32769'],
  ...['2147483647', '2147483648', '-2147483648', '4294967295', '4294967296', '9007199254740991'],
  ...['9007199254740993', '18446744073709551616', '1e308', '1e-308', '5e-324', '-1e308', '1e999'],
  ...['1e-300', '0.0100000001', '100.1', '1e400', '-1e999', '0e0', '1E+2', '1e+', '1.', '.5', '01'],
  ...['+1', '0x10', '1_000', 'NaN', 'Infinity', '-Infinity', 'nan', '1n', '１', '1,5'],
];

/** Texts without quotes or backslashes that JSON would not take as they are. */
const STRINGS = [
  ...['', ' ', '\t\n', '\u0000', '\ud800', '\udc00x', '\ufeff', '\u202e', '\u2028', '\u200b'],
  ...['é', 'e\u0301', 'ﬁ', 'İ', 'ß', '漢字', '👩‍👩‍👧‍👧', '🏳️‍🌈', '\uffff', '\u{10ffff}', 'ａ'],
  ...['null', 'true', 'NaN', 'undefined', '[]', '{}', '-1', '1e999', '__proto__', 'constructor'],
  ...['../../../../etc/hostname', '..\\..\\x', '%00', '%', '%zz', '%c0%af', '&amp;', '<b>', "'"],
  ...['"', '\\', '\r\nx: y', '; rm', '{{x}}', '</s>', '<image>', '<pad>', '<|endoftext|>'],
  ...['data:,', 'data:image/png;base64,', 'file:///', 'http://127.0.0.1:1/', 'http://[::1]/', '//'],
];

/** Lengths at which buffers, limits and stacks end. */
const LENGTHS = [10, 63, 64, 65, 255, 256, 257, 1024, 4096, 65_536, 300_000];

export const hostileNumber = fc.constantFrom(...NUMBERS);

export const hostileString: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...STRINGS) },
  { weight: 3, arbitrary: fc.string({ unit: 'grapheme', maxLength: 20 }) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom('a', ' ', '\u0000', 'é', '👩', 'a b ', '9'),
        fc.constantFrom(...LENGTHS),
      )
      .map(([unit, count]) => unit.repeat(Math.ceil(count / unit.length))),
  },
);

/** Names of members: also those that objects have by themselves. */
export const hostileName: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length', 'then'),
  hostileString,
);

const nested = fc
  .tuple(
    fc.constantFrom(['[', ']'], ['{"a":', '}'], ['[{"a":', '}]']),
    fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom(2, 32, 64, 65, 128, 1000, 10_000) },
      { weight: 1, arbitrary: fc.constantFrom(100_000, 1_000_000) },
    ),
  )
  .map(([[open = '', close = ''], depth]) => `${open.repeat(depth)}1${close.repeat(depth)}`);

/** A value as JSON's text; some are none. */
export const hostileJson: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: hostileNumber },
  { weight: 6, arbitrary: hostileString.map((text) => JSON.stringify(text)) },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      'null',
      'true',
      'false',
      '[]',
      '{}',
      '[[]]',
      '[null]',
      '{"a":1}',
      '',
    ),
  },
  { weight: 1, arbitrary: fc.nat(2000).map((count) => `[${'1,'.repeat(count)}1]`) },
  { weight: 1, arbitrary: nested },
  { weight: 1, arbitrary: fc.constantFrom('"\\ud800"', '"\\u12"', '"\u0001"', '{"a":1,"a":2}') },
);
