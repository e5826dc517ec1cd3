/** The examples of the documents: fenced blocks of code that call the service. */
import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Where the documents say that the service is. */
const ADDRESS = 'http://127.0.0.1:8787';

/** Of the virtual environment that is active, if one is. */
export const PYTHON = 'python3';

export type Language = 'sh' | 'python' | 'ts';

export type Example = {
  page: string;
  /** Line of its first line, from 1. */
  line: number;
  language: Language;
  code: string;
  /** Texts that its output must have, from comments that begin with an arrow. */
  expected: string[];
};

/** Pages that have examples: the README and the documents. */
export function pagesWithExamples(): string[] {
  const pages = globSync(['README.md', 'docs/**/*.md'], { cwd: ROOT });
  return pages.filter((page) => examplesOf(page).length > 0).toSorted();
}

/** The blocks that call the service, by its address outside of a comment: those that start or deploy it do not. */
export function examplesOf(page: string): Example[] {
  return blocksOf(page)
    .filter(({ code }) => code.replaceAll(/(?:^| )(?:#|\/\/).*$/gm, '').includes(ADDRESS))
    .map((block) => ({
      ...block,
      language: block.language as Language,
      expected: [...block.code.matchAll(/(?:#|\/\/) → (.*)$/gm)].map(([, shown = '']) =>
        shown.trim(),
      ),
    }));
}

/** All blocks of code, with the name of their language. */
function blocksOf(page: string): { page: string; line: number; language: string; code: string }[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(/^```(\S*)\n(.*?)^```$/gms)].map(
    ({ 1: language = '', 2: code = '', index }) => ({
      page,
      line: text.slice(0, index).split('\n').length + 1,
      language,
      code,
    }),
  );
}

/** Packages of Python that an example imports and that this machine has not. */
export async function missingModules(code: string): Promise<string[]> {
  const lines = [...code.matchAll(/^(?:from (\w+)[\w.]* import|import (.+?)(?: *#.*)?$)/gm)];
  const names = lines.flatMap(
    ([, from, list = '']) =>
      from ?? list.split(',').map((one) => one.trim().split(/[. ]/)[0] ?? ''),
  );
  const find = `import importlib.util, sys; print(*[n for n in sys.argv[1:] if importlib.util.find_spec(n) is None])`;
  const { stdout } = await promisify(execFile)(PYTHON, ['-c', find, ...names]);
  return stdout.trim().split(' ').filter(Boolean);
}

/** A folder as a reader has it: only what the examples name is in it, packages too. @param folder an empty one */
export async function prepareFolder(folder: string): Promise<void> {
  await symlink(join(ROOT, 'test'), join(folder, 'test'));
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
}

/** `npx` finds our own command at the root of the repository only, where a reader is. */
const NPX = 'npx blip2 ';

/**
 * Runs an example as it stands, but for the address, and where our own command is.
 * @returns what it wrote to standard output
 * @throws Error with its errors, when it fails
 */
export async function runExample(
  { language, code }: Pick<Example, 'language' | 'code'>,
  { url, folder }: { url: string; folder: string },
): Promise<string> {
  const blip2 = `${process.execPath} ${join(ROOT, 'tools/blip2.ts')} `;
  const text = code.replaceAll(ADDRESS, url).replaceAll(NPX, blip2);
  const [command, ...args] = await commandOf(language, text, folder);
  const run = promisify(execFile)(command as string, args, { cwd: folder, timeout: 60_000 });
  return (await run).stdout;
}

async function commandOf(language: Language, text: string, folder: string): Promise<string[]> {
  if (language === 'sh') return ['bash', '-euo', 'pipefail', '-c', text];
  if (language === 'python') return [PYTHON, '-c', text];
  const path = join(folder, 'example.mts');
  await writeFile(path, text);
  return [process.execPath, path];
}

/** What the compiler says of examples in TypeScript, under its strict rules. */
export async function compilerErrors(codes: readonly string[], folder: string): Promise<string> {
  const names = codes.map((_, index) => `checked-${index}.mts`);
  await Promise.all(codes.map((code, index) => writeFile(join(folder, names[index]!), code)));
  const options = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'esnext',
    '--skipLibCheck',
  ];
  const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')];
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const run = promisify(execFile)(process.execPath, [tsc, ...options, ...types, ...names], {
    cwd: folder,
  });
  return run.then(
    ({ stdout }) => stdout,
    ({ stdout, message }: { stdout?: string; message: string }) => stdout || message,
  );
}

/** Whether a command is on this machine. */
export async function hasCommand(command: string): Promise<boolean> {
  const found = promisify(execFile)(command, ['--version']);
  return found.then(
    () => true,
    () => false,
  );
}
