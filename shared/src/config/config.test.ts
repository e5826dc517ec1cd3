/** One declaration of options decides what is read, what is refused, and the help text. */
import { describe, expect, it } from 'vitest';
import { readCommandLine } from './command-line.ts';
import { readProgram } from './configure.ts';
import { helpOf } from './help.ts';
import {
  bearerToken,
  choice,
  choices,
  httpUrl,
  list,
  proxyUrl,
  several,
  share,
  text,
  toggle,
  wholeNumber,
} from './kinds.ts';
import { option, withDefaults } from './option.ts';
import { ConfigError, printable, readOptions, toEnvironment } from './read-options.ts';
import { unknownVariables } from './unknown-variables.ts';

const group = 'Serving';

const OPTIONS = {
  port: option({
    env: 'PORT',
    flag: 'port',
    kind: wholeNumber(0, 65_535, 'PORT'),
    default: 8787,
    formerly: 'OLD_PORT',
    group,
    help: 'port to listen on; 0 takes a free one',
  }),
  level: option({
    env: 'LEVEL',
    kind: choice('debug', 'info', 'warn'),
    default: 'info',
    group,
    help: 'least level',
  }),
  trace: option({ env: 'TRACE', flag: 'trace', kind: text('FILE'), group, help: 'trace' }),
  keys: option({ env: 'KEYS', kind: list('KEYS'), default: [], group, help: 'some keys' }),
  verbose: option({ flag: 'verbose', kind: toggle(), default: false, group, help: 'say more' }),
  offline: option({ env: 'OFFLINE', kind: toggle(), default: false, group: 'Hub', help: 'no hub' }),
  token: option({
    env: 'TOKEN',
    kind: bearerToken(),
    secret: true,
    group: 'Hub',
    help: 'token for private models',
  }),
};
const PROGRAM = { command: 'npm start --', summary: 'Starts it.', options: OPTIONS };

describe('reading options', () => {
  it('gives the defaults where nothing is set, frozen', () => {
    const values = readOptions(OPTIONS, {});
    expect(values).toEqual({
      port: 8787,
      level: 'info',
      trace: undefined,
      keys: [],
      verbose: false,
      offline: false,
      token: undefined,
    });
    expect(values).toEqual(withDefaults(OPTIONS));
    expect(() => Object.assign(values, { port: 1 })).toThrow(TypeError);
  });

  it('prefers a flag to a variable to the default, and treats an empty text as unset', () => {
    const read = (env: Record<string, string>, flags: Record<string, string>) =>
      readOptions(OPTIONS, { env, flags }).port;
    expect(read({ PORT: '1' }, { port: '2' })).toBe(2);
    expect(read({ PORT: '1' }, { port: '' })).toBe(1);
    expect(read({ PORT: '' }, { port: '' })).toBe(8787);
  });

  it('names all that is wrong and what is allowed, and shows no secret', () => {
    const env = { PORT: '99999', LEVEL: 'loud', TOKEN: 'hf_se cret', OFFLINE: 'perhaps' };
    expect(() => readOptions(OPTIONS, { env })).toThrow(
      new ConfigError(
        [
          'PORT must be a whole number from 0 to 65535, not "99999".',
          'LEVEL must be debug, info or warn, not "loud".',
          'OFFLINE must be 1 or 0, not "perhaps".',
          'TOKEN must be a token: printable ASCII without spaces.',
        ].join('\n'),
      ),
    );
    expect(() => readOptions(OPTIONS, { flags: { port: 'x' } })).toThrow(/^--port must be/);
  });

  it('takes another spelling of a variable where the first is unset', () => {
    const options = {
      proxy: option({ env: 'PROXY', alias: 'proxy', kind: proxyUrl(), group, help: 'proxy' }),
    };
    const read = (env: Record<string, string>) => readOptions(options, { env }).proxy;
    expect(read({ PROXY: '', proxy: 'a:1' })).toBe('http://a:1');
    expect(read({ PROXY: 'b:1', proxy: 'a:1' })).toBe('http://b:1');
    expect(() => read({ proxy: 'socks5://a' })).toThrow(/^proxy must be/);
    expect(read({ proxy: 'a:1', ...toEnvironment(options, { proxy: undefined }) })).toBeUndefined();
    expect(helpOf({ ...PROGRAM, options })).toContain('  PROXY, proxy ');
  });

  it('refuses the earlier name of a variable', () => {
    expect(() => readOptions(OPTIONS, { env: { OLD_PORT: '1' } })).toThrow(
      'OLD_PORT is not read any more: set PORT.',
    );
    expect(readOptions(OPTIONS, { env: { OLD_PORT: '' } }).port).toBe(8787);
  });

  it('goes through the environment of another process unchanged', () => {
    const values = withDefaults(OPTIONS, { port: 0, keys: ['a', 'b'], offline: true, token: 't' });
    const env = { TRACE: 'inherited', ...toEnvironment(OPTIONS, values) };
    expect(env).toMatchObject({ PORT: '0', KEYS: 'a,b', OFFLINE: '1', TRACE: '' });
    expect(readOptions(OPTIONS, { env })).toEqual(values);
  });

  it('is logged without a list of secrets that is empty', () => {
    const secrets = option({
      ...{ env: 'SECRETS', kind: list('SECRETS'), default: [] },
      ...{ secret: true, group, help: 'secrets' },
    });
    const logged = (values: string[]) => printable({ secrets }, { secrets: values });
    expect(logged([])).toEqual({});
    expect(logged(['s'])).toEqual({ secrets: 'set' });
  });

  it('can be logged without secrets and without what is unset', () => {
    const values = withDefaults(OPTIONS, { token: 'hf_secret' });
    expect(printable(OPTIONS, values)).toEqual({
      port: 8787,
      level: 'info',
      keys: [],
      verbose: false,
      offline: false,
      token: 'set',
    });
  });
});

describe('a variable that begins as ours do', () => {
  const read = (env: Record<string, string>, options = OURS) => {
    const warnings: string[] = [];
    const program = { ...PROGRAM, family: options };
    readProgram(program, { args: [], env }, (warning) => warnings.push(warning));
    return warnings;
  };
  const OURS = {
    port: option({ env: 'BLIP2_WORKER_PORT', kind: text('PORT'), group, help: 'port' }),
    bits: option({ env: 'BLIP2_PRECISION', kind: text('BITS'), group, help: 'bits' }),
  };

  it.each([
    ['BLIP2_PRECISON', 'Unknown variable BLIP2_PRECISON. Did you mean BLIP2_PRECISION?'],
    ['BLIP2_WORKERPORT', 'Unknown variable BLIP2_WORKERPORT. Did you mean BLIP2_WORKER_PORT?'],
  ])('and is mistyped is refused: %s', (name, message) => {
    expect(() => read({ [name]: 'x' })).toThrow(new ConfigError(message));
  });

  it.each([
    ['BLIP2_PORT', 'Nothing here reads BLIP2_PORT. Did you mean BLIP2_WORKER_PORT?'],
    ['BLIP2_CLIENT_URL', 'Nothing here reads BLIP2_CLIENT_URL. See --help.'],
  ])('and nothing reads is said: %s', (name, message) => {
    expect(read({ [name]: 'x' })).toEqual([message]);
  });

  it('and is read by another program of the family, or is empty, is none of these', () => {
    expect(read({ BLIP2_WORKER_PORT: '1', BLIP2_PRECISION: 'x', BLIP2_X: '', PATH: '' })).toEqual(
      [],
    );
  });
});

describe('kinds of values', () => {
  it.each([
    [wholeNumber(1, 9), '9', 9],
    [share(), '0.25', 0.25],
    [share(), '1', 1],
    [toggle(), 'Yes', true],
    [toggle(), '0', false],
    [list('KEYS'), ' a, b,,', ['a', 'b']],
    [choices('fp32', 'int8'), 'int8,fp32', ['int8', 'fp32']],
    [httpUrl(), 'https://example.org/hub//', 'https://example.org/hub'],
    [bearerToken(), 'hf_secret\n', 'hf_secret'],
    [proxyUrl(), 'proxy.example:3128', 'http://proxy.example:3128'],
    [proxyUrl(), 'https://a:b@proxy.example', 'https://a:b@proxy.example'],
  ])('%o accepts %o', (kind, given, value) => {
    expect(kind.schema.safeParse(given)).toMatchObject({ success: true, data: value });
    expect(kind.schema.safeParse(kind.format(value as never))).toMatchObject({ data: value });
  });

  it.each([
    [wholeNumber(1, 9), '10'],
    [share(), '1.01'],
    [share(), '-0'],
    [share(), '1e-1'],
    [wholeNumber(1, 9), '1.5'],
    [wholeNumber(1, 9), '1e0'],
    [wholeNumber(1, 9), '-1'],
    [toggle(), '2'],
    [choices('fp32', 'int8'), 'int8,int3'],
    [choices('fp32', 'int8'), ','],
    [httpUrl(), 'example.org'],
    [httpUrl(), 'ftp://example.org'],
    [bearerToken(), 'two words'],
    [proxyUrl(), 'socks5://proxy.example'],
  ])('%o refuses %o', (kind, given) => {
    expect(kind.schema.safeParse(given).success).toBe(false);
  });
});

describe('a command line', () => {
  const read = (...args: string[]) => readCommandLine(OPTIONS, args, 1);

  it('gives texts by flag, and the other arguments in order', () => {
    expect(read('--port', '80', '--trace=a=b', 'scene', '--verbose')).toEqual({
      flags: { port: '80', trace: 'a=b', verbose: '1' },
      positionals: ['scene'],
      help: false,
    });
  });

  it.each([
    [['--prot', '80'], 'Unknown option --prot. Did you mean --port?'],
    [['--verb'], 'Unknown option --verb. Did you mean --verbose?'],
    [['--colour'], 'Unknown option --colour. See --help.'],
    [['-p', '80'], 'Unknown option -p. See --help.'],
    [['--port'], '--port lacks its value: --port PORT'],
    [['--trace', '--verbose'], '--trace lacks its value: --trace FILE'],
    [['--verbose=yes'], '--verbose accepts no value.'],
    [['a', 'b'], 'Unknown argument "b": at most 1 are accepted. See --help.'],
  ])('refuses %o', (args, message) => {
    expect(() => read(...args)).toThrow(new ConfigError(message));
  });

  it('refuses arguments where a program has none', () => {
    expect(() => readProgram(PROGRAM, { args: ['80'], env: {} })).toThrow(
      'Unknown argument "80": none is accepted.',
    );
  });

  it.each(['--help', '-h'])('asks for help with %s, whatever else is wrong', (flag) => {
    const args = [flag, 'stray', '--port', 'x'];
    expect(readProgram(PROGRAM, { args, env: { LEVEL: 'loud' } })).toBeNull();
  });
});

describe('the help', () => {
  it('has every option under its heading, with flag, variable and default', () => {
    expect(helpOf(PROGRAM)).toBe(`Usage: npm start -- [options]

Starts it.

Serving:
  --port PORT, PORT               port to listen on; 0 takes a free one [default: 8787]
  LEVEL                           debug, info or warn: least level [default: info]
  --trace FILE, TRACE             trace
  KEYS                            some keys
  --verbose                       say more

Hub:
  OFFLINE                         no hub
  TOKEN                           token for private models

A flag overrides its environment variable; an empty value counts as unset. -h, --help prints this.
`);
  });

  it('breaks long lines, and gives long names their own line', () => {
    const help = 'word '.repeat(30).trim();
    const long = option({ env: 'A_VARIABLE_WITH_A_VERY_LONG_NAME', kind: text('X'), group, help });
    const lines = helpOf({ ...PROGRAM, options: { long } }).split('\n');
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(100);
    expect(lines).toContain('  A_VARIABLE_WITH_A_VERY_LONG_NAME');
  });
});

describe('a client’s command line', () => {
  const options = {
    texts: option({ flag: 'texts', kind: several('TEXT'), group, help: 'some texts' }),
    output: option({ flag: 'output', short: 'o', kind: text('FILE'), group, help: 'where to' }),
  };
  const program = { command: 'x', arguments: ['<file>…'], summary: 'X.', options };
  const read = (...args: string[]) => readProgram(program, { args, env: {} });

  it('has a flag several times where its kind says so', () => {
    expect(read('--texts', 'a, b', '--texts=c')?.values.texts).toEqual(['a, b', 'c']);
    expect(read()?.values.texts).toBeUndefined();
  });

  it('has one letter for a flag', () => {
    expect(read('-o', 'a.txt')?.values.output).toBe('a.txt');
    expect(() => read('-o')).toThrow('-o lacks its value: -o FILE');
    expect(() => read('-x', 'a.txt')).toThrow('Unknown option -x.');
    expect(helpOf(program)).toContain('-o, --output FILE');
  });

  it('has any number of arguments where the last name says so', () => {
    expect(read('a', 'b', 'c')?.positionals).toEqual(['a', 'b', 'c']);
    expect(() =>
      readProgram({ ...program, arguments: ['<file>'] }, { args: ['a', 'b'], env: {} }),
    ).toThrow('"b"');
  });
});

it('variables of the client are no mistyped ones of the service', () => {
  const env = { BLIP2_URL: 'http://127.0.0.1:8787', BLIP2_API_KEY: 'sk-1' };
  expect(unknownVariables(OPTIONS, env)).toEqual([]);
});
