/** What the first command does on a fresh clone: installs quietly, says what helps, and ends when it is asked to. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { descendantsOf, endingWithTest, running } from '../support/processes.ts';

const TOOLS = fileURLToPath(new URL('../../tools', import.meta.url));

/** Script of a package that signals that it began to install, and waits for a file that lets it end. */
const SLOW = `
  import { existsSync, writeFileSync } from 'node:fs';
  writeFileSync('../../installing', String(process.pid));
  setInterval(() => existsSync('../../go') && process.exit(0), 20);
`;

let folder: string;
const path = (name: string) => join(folder, name);
/** The clone of a project whose packages are as ours, but few and on this machine. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-install-'));
  for (const name of [
    'setup.mjs',
    'run.mjs',
    'install.mjs',
    'install-lock.mjs',
    'end-with-npm.mjs',
  ]) {
    await cp(join(TOOLS, name), path(`tools/${name}`));
  }
  await cp(join(TOOLS, '../.npmrc'), path('.npmrc'));
  for (const name of ['one', 'two']) await mkdir(path(`packages/${name}`), { recursive: true });
  const engines = { node: '>=99' };
  await writeJson('packages/one/package.json', { name: 'one', version: '1.0.0', engines });
  await writeJson('package.json', PROJECT);
  const lock = ['install', '--package-lock-only', '--offline', '--no-audit'];
  await promisify(execFile)('npm', lock, { cwd: folder });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const PROJECT = {
  name: 'clone',
  private: true,
  engines: { node: '>=99' },
  workspaces: ['packages/one'],
  scripts: { setup: 'exec node tools/setup.mjs' },
};
const writeJson = (name: string, value: unknown) => writeFile(path(name), JSON.stringify(value));

function launch(command = process.execPath, ...args: string[]) {
  return spawn(command, args.length > 0 ? args : ['tools/setup.mjs'], {
    cwd: folder,
    env: {
      ...process.env,
      npm_config_fetch_retries: '0',
      npm_config_cache: path('cache'),
      // A package that takes as long as it is wanted to: by a script, which .npmrc would not let run.
      npm_config_ignore_scripts: 'false',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

async function install() {
  const child = launch();
  const errors = text(child.stderr);
  const [code] = (await once(child, 'exit')) as [number];
  return { code, errors: await errors };
}

/** Expects npm's own error, and behind it what helps. */
async function expectRefusal(advice: string): Promise<void> {
  const { code, errors } = await install();
  expect(code).toBe(1);
  expect(errors).toContain('npm error');
  expect(errors.trimEnd().split('\n').at(-1)).toContain(advice);
}

const INSTALLING = 'Installing dependencies (once, about a minute) …\n';
const WAITING = 'Another command installs the packages: waiting for it …\n';

/** From now on an installation begins and does not end until it is let go. */
async function installSlowly(): Promise<{
  begun: () => Promise<void>;
  letGo: () => Promise<void>;
}> {
  await writeFile(path('packages/one/slow.mjs'), SLOW);
  const scripts = { postinstall: 'node slow.mjs' };
  await writeJson('packages/one/package.json', { name: 'one', version: '1.0.0', scripts });
  return {
    begun: () => expect.poll(() => existsSync(path('installing')), { timeout: 20_000 }).toBe(true),
    letGo: () => writeFile(path('go'), ''),
  };
}

describe('installing', () => {
  it('says nothing of an old Node that another will take the place of, and happens once', async () => {
    expect(await install()).toEqual({ code: 0, errors: INSTALLING });
    expect(existsSync(path('node_modules/one'))).toBe(true);
    expect(await install()).toEqual({ code: 0, errors: '' });
  });

  it('takes what npm ci has installed without it, as quietly', async () => {
    const { stderr } = await promisify(execFile)('npm', ['ci', '--offline'], { cwd: folder });
    expect(stderr).toBe('');
    expect(await install()).toEqual({ code: 0, errors: '' });
  });

  it('happens again where something is missing or of another version', async () => {
    await install();
    await rm(path('node_modules/.installed-lock'));
    const record = path('node_modules/.package-lock.json');
    await writeFile(record, readFileSync(record, 'utf8').replaceAll('1.0.0', '0.9.0'));
    expect(await install()).toEqual({ code: 0, errors: INSTALLING });
    await rm(path('node_modules'), { recursive: true });
    expect(await install()).toEqual({ code: 0, errors: INSTALLING });
  });

  it('happens once for two commands, of which the second waits', async () => {
    const { begun, letGo } = await installSlowly();
    const first = install();
    await begun();
    const second = launch();
    let printed = '';
    for await (const text of second.stderr.iterator({ destroyOnReturn: false })) {
      printed += text;
      if (printed.endsWith('…\n')) break;
    }
    const ended = once(second, 'exit');
    const rest = text(second.stderr);
    await letGo();
    expect(await first).toEqual({ code: 0, errors: INSTALLING });
    expect(await ended).toEqual([0, null]);
    expect(printed + (await rest)).toBe(WAITING);
    expect(existsSync(path('.installing'))).toBe(false);
  });

  it('does not wait for somebody who is gone', async () => {
    const gone = spawn(process.execPath, ['-e', '']);
    await once(gone, 'exit');
    await writeFile(path('.installing'), String(gone.pid));
    expect(await install()).toEqual({ code: 0, errors: WAITING + INSTALLING });
  });

  it('that has left no Node that runs is said, and what helps', async () => {
    await install();
    await mkdir(path('node_modules/.bin'), { recursive: true });
    await writeFile(path('node_modules/.bin/node'), 'no program');
    const child = launch(process.execPath, 'tools/run.mjs', 'tools/nothing.ts');
    const errors = text(child.stderr);
    expect(await once(child, 'exit')).toEqual([1, null]);
    expect(await errors).toMatch(/could not be started: .*EACCES.*Delete node_modules/);
  });

  it('shows that npm cannot reach its registry, and what helps', async () => {
    const { packages, ...lock } = JSON.parse(readFileSync(path('package-lock.json'), 'utf8'));
    const dependencies = { two: '2.0.0' };
    packages[''].dependencies = dependencies;
    packages['node_modules/two'] = { version: '2.0.0', resolved: 'http://127.0.0.1:9/two.tgz' };
    await writeJson('package.json', { ...PROJECT, dependencies });
    await writeJson('package-lock.json', { ...lock, packages });
    await expectRefusal('npm cannot get its packages.');
  });

  it('shows that the lock file is of other packages, and what helps', async () => {
    await writeJson('packages/two/package.json', { name: 'two', version: '1.0.0' });
    await writeJson('package.json', { ...PROJECT, workspaces: ['packages/one', 'packages/two'] });
    await expectRefusal('package.json and package-lock.json do not agree.');
  });

  describe.runIf(process.platform === 'linux')('ends with all that it has started', () => {
    const npm = ['npm', 'run', 'setup'] as const;
    it.each<[string, NodeJS.Signals, readonly [string?, ...string[]]]>([
      ['it gets', 'SIGINT', []],
      ['it gets', 'SIGTERM', []],
      ['npm alone gets', 'SIGTERM', npm],
      ['npm alone gets', 'SIGKILL', npm],
    ])('when %s %s, and can begin again', async (_who, signal, [command, ...args]) => {
      const { begun, letGo } = await installSlowly();
      const child = launch(command, ...args);
      child.stderr.resume();
      await begun();
      const pid = child.pid as number;
      const all = [pid, ...(await descendantsOf(pid))];
      using _all = endingWithTest(all);
      expect((await running(all)).join('\n')).toContain('slow.mjs');
      process.kill(pid, signal);
      await expect.poll(() => running(all), { timeout: 15_000 }).toEqual([]);
      await letGo();
      expect(await install()).toEqual({ code: 0, errors: INSTALLING });
    });
  });
});
