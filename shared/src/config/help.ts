/** The help text of a program, from its declared options. */
import type { Option, Options } from './option.ts';
import type { Program } from './program.ts';

const WIDTH = 100;
/** Names longer than this have their help on the next line. */
const NAMES_WIDTH = 34;

/** What `--help` prints. */
export function helpOf(program: Program): string {
  const { command, arguments: names = [], summary, details, options } = program;
  const usage = ['Usage:', command, ...names, '[options]'].join(' ');
  const parts = [usage, wrap(summary, 0).join('\n'), ...(details === undefined ? [] : [details])];
  for (const [group, members] of groupsOf(options)) {
    parts.push([`${group}:`, ...members.flatMap(rowOf)].join('\n'));
  }
  parts.push(
    'A flag overrides its environment variable; an empty value counts as unset. -h, --help prints this.',
  );
  return `${parts.join('\n\n')}\n`;
}

/** Options by their heading, in the order of their declaration. */
export function groupsOf(options: Options): Map<string, Option<unknown>[]> {
  return Map.groupBy(Object.values(options), ({ group }) => group);
}

/** How the default reads, or nothing where there is none. */
export function defaultOf({ default: value, defaultText, kind }: Option<unknown>): string {
  if (defaultText !== undefined) return defaultText;
  if (value === undefined || value === null || value === false) return '';
  return kind.format(value);
}

function rowOf(option: Option<unknown>): string[] {
  const { flag, short, env, alias, kind, help } = option;
  const spelled = short === undefined ? `--${flag}` : `-${short}, --${flag}`;
  const usage = flag && (kind.placeholder === null ? spelled : `${spelled} ${kind.placeholder}`);
  const names = [usage, env, alias].filter((name) => name !== undefined && name !== '').join(', ');
  const standard = defaultOf(option);
  const isChoice = kind.placeholder?.includes('|') === true;
  const meaning = isChoice ? `${kind.allowed}: ${help}` : help;
  const lines = wrap(standard === '' ? meaning : `${meaning} [default: ${standard}]`, NAMES_WIDTH);
  const [first = '', ...rest] = lines;
  const head = `  ${names}`;
  if (head.length + 2 > NAMES_WIDTH) return [head, ...lines];
  return [head.padEnd(NAMES_WIDTH) + first.trimStart(), ...rest];
}

function wrap(text: string, indent: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.map((each) => ' '.repeat(indent) + each);
}
