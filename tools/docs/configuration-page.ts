/** `docs/configuration.md`: every option of every program, from its declaration. */
import { defaultOf, groupsOf } from '@blip2/shared/config/help';
import type { Option, Options } from '@blip2/shared/config/option';
import type { Program } from '@blip2/shared/config/program';
import { markdownTable } from 'markdown-table';

const INTRODUCTION = `# Configuration

This page is generated from the declared options (\`npm run docs\`); \`--help\` of each program prints the same.

- A flag overrides its environment variable; an empty value counts as unset. Flags of an npm script follow \`--\`.
- A program reads its configuration once, at its start. It names everything that is wrong, and what is allowed, and
  ends with 1; so it does for a flag that it does not know.
- The GPU worker logs its configuration when it starts, without secrets.
- The edge Worker answers every request with a 500 while a variable of its own is wrong, and logs which.`;

const ABOUT_EDGE = `Set in \`[vars]\` of \`wrangler.toml\`, or with \`wrangler deploy --var NAME:VALUE\`; secrets with \`npx wrangler secret put NAME\`.

\`npm start\` reads of its environment only the variables of [its own table](#npm-start), and all others of the edge from
\`[vars]\` of \`wrangler.toml\`; those of the GPU worker go on to it. Some it sets itself, whatever stands there:
\`GPU_WORKER_URLS\`, \`GPU_WORKER_SECRET\`, \`ALLOW_ANONYMOUS\` (as \`--require-key\` says), \`ALLOW_ANONYMOUS_DELETE\` (true),
\`MAX_HELD_BYTES\` (512 MiB), \`MAX_REQUESTS_PER_WORKER\` (as many as the GPU worker takes), the limits of callers (none, unless its
environment has them), and with jobs \`JOBS_QUEUE_URL\`, \`JOBS_QUEUE_ENDPOINT\`, \`JOBS_REGION\`, \`JOBS_SECRET\`, the keys of AWS, and
\`JOBS_IMAGE_BUCKET_…\`.`;

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
    const readers = programs.filter((program) => options.some(isReadBy(program)));
    const exceptions = readers.flatMap((program) => {
      const others = options.filter((option) => !isReadBy(program)(option));
      return others.length === 0 ? [] : [`${nameOf(program.command)} (not ${namesOf(others)})`];
    });
    const all = readers.filter((program) => options.every(isReadBy(program)));
    const names = [...all.map(({ command }) => nameOf(command)), ...exceptions].join(', ');
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
    if (groups.size > 0) {
      const links = [...groups].map(linkTo).join(' and ');
      parts.push(own.length > 0 ? `And those of ${links}.` : `Options: those of ${links}.`);
    }
  }
  parts.push('## The edge Worker', ABOUT_EDGE, tableOf(Object.values(edge)));
  return `${parts.join('\n\n')}\n`;
}

/** By variable: a program may give an option of others a flag as well. */
function isReadBy({ options }: Program): (option: Option<unknown>) => boolean {
  const variables = new Set(Object.values(options).map(({ env }) => env));
  return ({ env }) => variables.has(env);
}

function namesOf(options: readonly Option<unknown>[]): string {
  return options.map(({ env, flag }) => `\`${env ?? `--${flag}`}\``).join(', ');
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
