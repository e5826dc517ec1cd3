/** Which command a command line begins with. */
import { nearest } from '@blip2/shared/config/nearest';
import { VERSION } from '@blip2/shared/version';
import { type Command, print } from './command.ts';
import { COMMANDS } from './commands.ts';
import { CliError, EXIT } from './failure.ts';

const NAMES = [...COMMANDS.keys()];

/**
 * @returns null where help is asked for, or nothing
 * @throws CliError for a command that is none, with the one that was meant
 */
export function commandOf(
  args: readonly string[],
): { run: Command; rest: readonly string[] } | null {
  const [first, second] = args;
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') return null;
  if (first === '--version') return { run: printVersion, rest: args.slice(1) };
  if (first.startsWith('-'))
    throw new CliError(`A command comes before ${first}. See blip2 --help.`);
  const isGroup = NAMES.some((name) => name.startsWith(`${first} `));
  if (isGroup && (second === undefined || second === '--help' || second === '-h')) return null;
  const length = isGroup ? 2 : 1;
  const typed = args.slice(0, length).join(' ');
  const known = COMMANDS.get(typed);
  if (known !== undefined) return { run: known.run, rest: args.slice(length) };
  const meant = nearest(typed, NAMES);
  const advice = meant === undefined ? 'See blip2 --help.' : `Did you mean ${meant}?`;
  throw new CliError(`Unknown command "${typed}". ${advice}`, EXIT.usage);
}

const printVersion: Command = async () => {
  await print(VERSION);
  return 0;
};

/** What `blip2 --help` prints. */
export function overview(): string {
  const rows = [...COMMANDS.values()].map(({ program: { command, summary } }) => {
    return `  ${command.padEnd(20)} ${summary.split(/[:;,.]/)[0]}`;
  });
  return `Usage: blip2 <command> [options]

The client of the service: captions, answers, and jobs of very many images.

${rows.join('\n')}

blip2 <command> --help says more, blip2 --version which one it is. The service is at --url or BLIP2_URL, http://127.0.0.1:8787 by default; --key or
BLIP2_API_KEY is the key. Ends with 0; 1 where items failed; 2 where the command line or a file is wrong; 3 where the
service refuses; 4 where it does not answer; 130 after Ctrl-C.
`;
}
