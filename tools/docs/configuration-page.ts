/** `docs/configuration.md`: every option of every program, from its declaration. */
import { defaultOf, groupsOf } from '@blip2/shared/config/help';
import type { Option, Options } from '@blip2/shared/config/option';
import type { Program } from '@blip2/shared/config/program';
import { markdownTable } from 'markdown-table';

const INTRODUCTION = `# Configuration

This page is generated from the declared options (\`npm run docs\`); \`--help\` of each program prints the same.

- A flag goes before a variable of the environment, a variable before the default. Flags of an npm script follow \`--\`.
- An empty text is unset, in a flag as in a variable.
- A program reads its configuration once, at its start. It names everything that is wrong, and what is allowed, and
  ends with 1; so it does for a flag that it does not know.
- The GPU worker logs its configuration when it starts, without secrets.
- The edge Worker answers every request with a 500 while a variable of its own is wrong, and logs which.`;

const ABOUT_EDGE =
  'Set in `[vars]` of `wrangler.toml`, or with `wrangler deploy --var NAME:VALUE`. `npm start` sets `GPU_WORKER_URL` itself.';

/**
 * @param shared options that several programs read, which have their own sections
 * @param programs in the order of the page
 * @param edge options of the edge Worker, which no command line has
 */
export function configurationPage(
  shared: Options,
  programs: readonly Program[],
  edge: Options,
): string {
  const isShared = new Set(Object.values(shared));
  const parts = [INTRODUCTION];
  for (const [group, options] of groupsOf(shared)) {
    const readers = programs.filter((program) => {
      return Object.values(program.options).some((option) => options.includes(option));
    });
    const names = readers.map(({ command }) => nameOf(command)).join(', ');
    parts.push(`## ${group}`, `Read by ${names}.`, tableOf(options));
  }
  for (const { command, arguments: names = [], summary, details, options } of programs) {
    const all = Object.values(options);
    const own = all.filter((option) => !isShared.has(option));
    const groups = new Set(all.filter((option) => isShared.has(option)).map(({ group }) => group));
    const usage = names.length === 0 ? [] : [`\`${[command, ...names].join(' ')}\``];
    parts.push(`## ${nameOf(command)}`, ...usage, summary);
    if (details !== undefined) parts.push(`\`\`\`\n${details}\n\`\`\``);
    if (own.length > 0) parts.push(tableOf(own));
    if (groups.size > 0) parts.push(`And those of ${[...groups].map(linkTo).join(' and ')}.`);
  }
  parts.push('## The edge Worker', ABOUT_EDGE, tableOf(Object.values(edge)));
  return `${parts.join('\n\n')}\n`;
}

function tableOf(options: readonly Option<unknown>[]): string {
  const rows = options.map((option) => {
    const { env, alias, flag, kind, help } = option;
    const variable = [env, alias]
      .filter((name) => name !== undefined)
      .map((name) => `\`${name}\``)
      .join(', ');
    const switchOf = flag === undefined ? '' : `\`--${flag}\``;
    // A switch has a value as a variable only.
    const value = env === undefined && kind.placeholder === null ? '' : kind.allowed;
    return [variable, switchOf, value, defaultOf(option), help].map((cell) => {
      return cell.replaceAll('<', '\\<');
    });
  });
  const hasFlags = options.some(({ flag }) => flag !== undefined);
  const table = [['variable', 'flag', 'value', 'default', 'meaning'], ...rows];
  return markdownTable(hasFlags ? table : table.map((row) => row.toSpliced(1, 1)));
}

/** @example nameOf('npm start --') // '`npm start`' */
function nameOf(command: string): string {
  return `\`${command.replace(/ --$/, '')}\``;
}

function linkTo(heading: string): string {
  return `[${heading}](#${heading.toLowerCase().replaceAll(' ', '-')})`;
}
