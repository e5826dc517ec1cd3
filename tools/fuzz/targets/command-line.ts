/** Command lines and environments of every program. */
import * as fc from 'fast-check';
import { hostileNumber, hostileString } from '../generate/hostile.ts';
import { type ArgumentsInput, PROGRAMS } from '../subjects/command-line.ts';
import type { Target } from '../target.ts';
import { ThreadHost } from '../thread-host.ts';

const value = fc.oneof(
  hostileNumber,
  hostileString,
  fc.constantFrom('1', '0', 'yes', 'fp32', 'a,b', '8080'),
);

const inputs: fc.Arbitrary<ArgumentsInput> = fc
  .constantFrom(...PROGRAMS)
  .chain(([command, { options, family = {} }]) => {
    const all = [...Object.values(options), ...Object.values(family)];
    const flags = ['help', 'nothing', ...all.flatMap(({ flag }) => flag ?? [])];
    const variables = ['BLIP2_X', 'BLIP2_PRECISON', ...all.flatMap(({ env }) => env ?? [])];
    const flag = fc.constantFrom(...flags).map((name) => `--${name}`);
    const argument = fc.oneof(
      flag,
      fc.tuple(flag, value).map(([name, text]) => `${name}=${text}`),
      value,
      fc.constantFrom('--', '-', '-h', '-x', '---', '--=', '--no-verbose', '-abc'),
    );
    return fc.record({
      program: fc.constant(command),
      args: fc.array(argument, { maxLength: 5 }),
      env: fc.dictionary(fc.constantFrom(...variables), value, { maxKeys: 4 }),
    });
  });

export const COMMAND_LINE: Target<ArgumentsInput> = {
  name: 'command-line',
  about: 'flags and variables of every program',
  share: 8,
  lanes: 1,
  open: async () => {
    const host = new ThreadHost('command-line');
    return {
      inputs,
      run: (input) => host.run(input),
      [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
    };
  },
};
