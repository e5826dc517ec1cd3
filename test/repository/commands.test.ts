/** Every command of ours says what it is for when it is asked, and refuses what it does not know, in one line. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { scripts, bin } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')) as {
  scripts: Record<string, string>;
  bin: { blip2: string };
};

/** npm scripts that run a program of ours, and its entry; `setup` runs on any Node, and therefore without a launcher. */
const COMMANDS = Object.entries(scripts).flatMap(([name, script]): [string, string][] => {
  const entry = /^exec node (?:tools\/run\.mjs )?(\S+)$/.exec(script)?.[1];
  return entry === undefined ? [] : [[name, entry]];
});

const npmCache = temporaryFolder();
const withoutPackages = temporaryFolder();

async function run(entry: string, args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [entry, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, errors] = [text(child.stdout), text(child.stderr)];
  const [code] = (await once(child, 'exit')) as [number];
  return { code, output: await output, errors: await errors };
}

it('all of them are here', () => {
  expect(COMMANDS.map(([name]) => name)).toEqual(
    expect.arrayContaining(['start', 'worker', 'demo', 'eval', 'bench', 'screenshot', 'model']),
  );
});

describe.concurrent.each(COMMANDS)('npm run %s', (name, entry) => {
  it('says how it is called and does nothing else for --help', async () => {
    const written = ['docs/page.png', 'docs/configuration.md'].map((path) => `${ROOT}/${path}`);
    const before = written.map((path) => statSync(path).mtimeMs);
    const { code, output, errors } = await run(entry, ['--help']);
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    const command = name === 'start' ? 'npm start' : `npm run ${name}`;
    expect(output.split('\n')[0]).toMatch(new RegExp(`^Usage: ${command}\\b`));
    expect(written.map((path) => statSync(path).mtimeMs)).toEqual(before);
  });

  it('refuses an unknown flag with the one that was meant', async () => {
    const { code, output, errors } = await run(entry, ['--hlep']);
    expect({ code, output }).toEqual({ code: 1, output: '' });
    expect(errors).toBe('Unknown option --hlep. Did you mean --help?\n');
  });
});

it.concurrent('blip2 without its packages says in a sentence what to run', async () => {
  const clone = join(withoutPackages, 'tools');
  await mkdir(clone);
  for (const name of ['blip2.mjs', 'blip2.ts']) {
    await copyFile(join(ROOT, 'tools', name), join(clone, name));
  }
  const sentence = /^The packages of blip2 are not installed: run "npm ci" .+\.\n$/;
  const bare = await run(join(clone, 'blip2.mjs'), ['caption', 'a.jpg']);
  expect(bare).toMatchObject({ code: 2, output: '', errors: expect.stringMatching(sentence) });
  await mkdir(join(withoutPackages, 'node_modules/@blip2/shared'), { recursive: true });
  const half = await run(join(clone, 'blip2.mjs'), ['caption', 'a.jpg']);
  expect(half).toMatchObject({ code: 2, output: '', errors: expect.stringMatching(sentence) });
});

it.concurrent('blip2 is the program that npx starts', async () => {
  const { output } = await run(bin.blip2, ['--help']);
  expect(output).toContain('blip2 caption');
});

it.concurrent.each([
  ['gpu-worker/src/cli/model.ts', ['bulid', 'x'], 'Unknown command "bulid". Did you mean build?'],
  ['tools/synthetic-checkpoints.ts', ['opt-2.7'], 'Unknown name "opt-2.7". Did you mean opt-2.7b?'],
  ['tools/synthetic-checkpoints.ts', [], 'Its argument, a name, is missing: '],
  ['tools/eval.ts', ['scenes'], 'Unknown argument "scenes": none is accepted. See --help.'],
  ['tools/eval.ts', ['--url', 'nonsense'], '--url must be an http:// or https:// address'],
  ['tools/eval.ts', ['--url', 'http://127.0.0.1:2'], 'There is no API that can answer at http'],
  ['tools/demo.ts', [], 'There is no folder or file /nowhere'],
])('%s refuses %j in one line', async (entry, args, message) => {
  const { code, errors } = await run(entry, args, { BLIP2_CHECKPOINT: '/nowhere' });
  expect(code).toBe(1);
  expect(errors.trimEnd()).toContain(message);
  expect(errors.trimEnd().split('\n')).toHaveLength(1);
});

it.concurrent.each([
  'tools/start.ts',
  'tools/demo.ts',
  'gpu-worker/src/main.ts',
  'gpu-worker/src/cli/model.ts',
])('%s refuses a variable that is mistyped, before anything else', async (entry) => {
  const env = { BLIP2_PRECISON: 'int4', BLIP2_CHECKPOINT: '/nowhere' };
  const { code, errors } = await run(entry, [], env);
  expect({ code, errors }).toEqual({
    code: 1,
    errors: 'Unknown variable BLIP2_PRECISON. Did you mean BLIP2_PRECISION?\n',
  });
});

it('a variable that nothing reads is said, and stops nothing', async () => {
  const { code, output, errors } = await run('gpu-worker/src/cli/model.ts', [], {
    BLIP2_PORT: '80',
  });
  expect({ code, errors }).toEqual({
    code: 0,
    errors: 'Nothing here reads BLIP2_PORT. Did you mean BLIP2_WORKER_PORT?\n',
  });
  expect(output).toContain('Usage: npm run model');
});

it.runIf(process.platform === 'linux')('a folder that cannot be made is said', async () => {
  const env = { BLIP2_BUNDLES: '/proc/nope' };
  const { code, errors } = await run('tools/demo.ts', [], env);
  expect(code).toBe(1);
  expect(errors).toMatch(/The folder \/proc\/nope cannot be made: .*BLIP2_BUNDLES chooses/);
});

it('npx blip2 is found at the root, and needs no network', async () => {
  const child = spawn('npx', ['blip2', '--help'], {
    cwd: ROOT,
    env: { ...process.env, npm_config_cache: npmCache, npm_config_offline: 'true' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const output = text(child.stdout);
  expect((await once(child, 'exit'))[0]).toBe(0);
  expect(await output).toMatch(/^Usage: blip2 <command>/);
});
