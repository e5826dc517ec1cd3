/** `npm run deploy` refuses what could not serve; what is committed can be bundled for each environment. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { EDGE_OPTIONS, readConfig } from '../../edge/src/config.ts';
import { type EdgeDeployment, objectionsTo, readDeployment } from '../../tools/deploy.ts';
import { EDGE_CONFIG } from '../../tools/local-stack.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const folder = temporaryFolder();
const WORKER = 'GPU_WORKER_URL:https://gpu.example.com';

/** The committed configuration with ids of an account. */
async function configured(): Promise<string> {
  const path = join(folder, 'wrangler.toml');
  const text = await readFile(EDGE_CONFIG, 'utf8');
  await writeFile(path, text.replaceAll(/"0{31}(\d)"/g, '"0123456789abcdef0123456789abcde$1"'));
  return path;
}

describe('npm run deploy', () => {
  it('--help says what it does and takes, and deploys nothing', async () => {
    const script = join(ROOT, 'tools/deploy.ts');
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [script, '--help']);
    expect(stdout).toMatch(/Usage: npm run deploy -- .*--env NAME.*--dry-run/s);
    expect(stderr).toBe('');
  });

  it.each([
    [[], '[[kv_namespaces]]', '[vars]'],
    [['--env', ''], '[[kv_namespaces]]', '[vars]'],
    [['--env', 'staging'], '[[env.staging.kv_namespaces]]', '[env.staging.vars]'],
    [['--env=staging'], '[[env.staging.kv_namespaces]]', '[env.staging.vars]'],
    [['-e', 'staging', '--minify'], '[[env.staging.kv_namespaces]]', '[env.staging.vars]'],
  ])('with %j names each id and address that is not set, and where it goes', (args, ids, vars) => {
    const objections = objectionsTo(args);
    expect(objections).toHaveLength(3);
    for (const [index, binding] of ['EMBEDDINGS', 'KEYS'].entries()) {
      expect(objections[index]).toContain(`wrangler kv namespace create ${binding}`);
      expect(objections[index]).toContain(ids);
    }
    expect(objections[2]).toContain(vars);
  });

  it('accepts ids of an account and an address that can be reached', async () => {
    const config = await configured();
    expect(objectionsTo(['-c', config, '--var', WORKER])).toEqual([]);
    expect(objectionsTo(['-c', config, `--var=${WORKER}`, '--env', 'staging'])).toEqual([]);
  });

  it.each(['http://localhost:8788', 'http://127.0.0.1', 'http://[::1]:8788', 'nonsense', ''])(
    'does not accept %j as the address of a GPU worker',
    async (url) => {
      const args = ['-c', await configured(), '--var', `GPU_WORKER_URL:${url}`];
      expect(objectionsTo(args)).toEqual([expect.stringContaining('GPU_WORKER_URL')]);
    },
  );

  it.each([
    ['https://a.example.com weight=2, https://b.example.com', []],
    ['https://a.example.com, http://127.0.0.1', [expect.stringContaining('http://127.0.0.1')]],
    ['a.example.com', [expect.stringContaining('GPU_WORKER_URLS')]],
  ])('judges each of several workers: %j', async (urls, objections) => {
    const args = ['-c', await configured(), '--var', `GPU_WORKER_URLS:${urls}`];
    expect(objectionsTo(args)).toEqual(objections);
  });

  it('names a variable that is mistyped, and what was meant', async () => {
    const args = ['-c', await configured(), '--var', WORKER, '--var', 'REQUEST_PER_MINUTE:60'];
    expect(objectionsTo(args)).toEqual([
      'The edge reads no variable REQUEST_PER_MINUTE: did you mean REQUESTS_PER_MINUTE?',
    ]);
  });

  it('ends with 1 and deploys nothing', async () => {
    const script = join(ROOT, 'tools/deploy.ts');
    const running = promisify(execFile)(process.execPath, [script], { cwd: ROOT });
    await expect(running).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/KV namespace EMBEDDINGS[\s\S]*Nothing was deployed/),
    });
  });
});

describe.each([undefined, 'staging'])('the environment %s', (env) => {
  it('has every binding of the Worker, and variables that it accepts', () => {
    const [config, base] = [readDeployment(env), readDeployment()];
    const names = ({ kv_namespaces, r2_buckets, durable_objects }: EdgeDeployment) => [
      ...kv_namespaces.map(({ binding }) => binding),
      ...r2_buckets.map(({ binding }) => binding),
      ...durable_objects.bindings.map(({ name, class_name }) => `${name} ${class_name}`),
    ];
    expect(names(config)).toEqual(names(base));
    const declared = Object.values(EDGE_OPTIONS).map((each) => each.env);
    expect(declared).toEqual(expect.arrayContaining(Object.keys(config.vars)));
    expect(() => readConfig(config.vars)).not.toThrow();
  });

  it('makes each class of Durable Objects once, in migrations with names of their own', () => {
    const { migrations, durable_objects } = readDeployment(env);
    const made = migrations.flatMap(({ new_sqlite_classes = [] }) => new_sqlite_classes);
    const bound = durable_objects.bindings.map(({ class_name }) => class_name);
    expect(made.sort()).toEqual(bound.sort());
    expect(new Set(migrations.map(({ tag }) => tag)).size).toBe(migrations.length);
  });

  it('can be bundled', async () => {
    const stdout = await dryRun(env ?? 'top', [`--env=${env ?? ''}`]);
    expect(stdout).toContain('env.JOB_PARTS (JobPart)');
  });
});

describe('ways to GPU workers', async () => {
  const text = await readFile(join(ROOT, 'docs/workers.md'), 'utf8');
  const networks = text.split('## Networks\n')[1]?.split('\n## ')[0] ?? '';
  const ways = networks
    .split('\n### ')
    .slice(1)
    .flatMap((part) => {
      const [title = ''] = part.split('\n');
      return [...part.matchAll(/```toml\n([^`]+)```/g)].map(([, lines = '']) => ({ title, lines }));
    });
  const ID = '00000000-0000-0000-0000-000000000000';

  it('are documented', () => {
    const titles = ways.map(({ title }) => title);
    expect(titles).toEqual(['Workers VPC', 'Workers VPC', 'Tunnel with Access', 'mTLS']);
  });

  it.each(ways)(
    '$title: its lines are ones that the edge can be bundled with',
    async ({ lines }) => {
      const [vars = '', ...tables] = lines.split(/^(?=\[\[)/m);
      const [line = '', value = ''] = /^GPU_WORKER_URLS = "(.*)"$/m.exec(vars) ?? [];
      const config = join(ROOT, `.wrangler/way-${randomUUID()}.toml`);
      const committed = await readFile(EDGE_CONFIG, 'utf8');
      const set = committed
        .replace('main = "edge', 'main = "../edge')
        .replace('GPU_WORKER_URLS = ""', line);
      await writeFile(config, `${set}\n${tables.join('')}`);
      try {
        const stdout = await dryRun(`way-${randomUUID()}`, ['--config', config, '--env=']);
        expect(stdout).toContain(`env.GPU_WORKER_URLS ("${value.slice(0, 20)}`);
        for (const table of tables) {
          const [, binding = ''] = /^binding = "(.*)"$/m.exec(table) ?? [];
          expect(binding).toBe('GPU_NETWORK');
          expect(stdout).toMatch(new RegExp(`env\\.${binding} \\(.*${ID.slice(0, 8)}`));
        }
        expect(objectionsTo(['-c', config])).not.toContainEqual(
          expect.stringContaining('GPU_WORKER_URL'),
        );
      } finally {
        await rm(config);
      }
    },
  );
});

/** What wrangler would deploy, as it says so. */
async function dryRun(name: string, args: readonly string[]): Promise<string> {
  const wrangler = join(
    createRequire(import.meta.url).resolve('wrangler/package.json'),
    '../bin/wrangler.js',
  );
  const quiet = {
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_HIDE_BANNER: 'true',
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  };
  const all = [wrangler, 'deploy', '--dry-run', '--outdir', join(folder, name), ...args];
  const options = { cwd: ROOT, env: { ...process.env, ...quiet } };
  const { stdout } = await promisify(execFile)(process.execPath, all, options);
  expect(stdout).toContain('--dry-run: exiting now');
  return stdout;
}
