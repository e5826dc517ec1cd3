/** `npm run deploy`: looks whether the edge's configuration is one that can serve, then has wrangler deploy it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { workerAddresses } from '@blip2/shared/config/worker-addresses';
import { unstable_readConfig } from 'wrangler';
import { EDGE_CONFIG } from './local-stack.ts';
import { ROOT } from './prepare-edge.ts';
import { mistypedVariables } from './unread-variables.ts';

/** What is committed in place of ids that each account has of its own. */
const PLACEHOLDER = /^0{16,}[0-9a-f]{1,2}$/;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** Of wrangler's many options those that decide what is deployed; all go to wrangler as they are. */
const OPTIONS = {
  env: { type: 'string', short: 'e' },
  config: { type: 'string', short: 'c' },
  var: { type: 'string', multiple: true },
  'dry-run': { type: 'boolean' },
} as const;

const HELP = `Usage: npm run deploy -- [options]

Looks whether the configuration of the edge is one that can serve, and has wrangler deploy it.
All steps, also those before: docs/deploy.md.

  -e, --env NAME     an environment of wrangler.toml, such as staging [default: that at the top]
  -c, --config FILE  another wrangler.toml
  --var NAME:VALUE   a variable in place of that in [vars]; may be given several times
  --dry-run          bundles, says what is missing, and deploys nothing

Every other option goes to "wrangler deploy" as it is.`;

/** What is read of wrangler's configuration, whose types do not resolve without those of Cloudflare's own packages. */
export type EdgeDeployment = {
  kv_namespaces: { binding: string; id?: string }[];
  r2_buckets: { binding: string }[];
  durable_objects: { bindings: { name: string; class_name: string }[] };
  migrations: { tag: string; new_sqlite_classes?: string[] }[];
  vars: Record<string, string>;
};

/** @param env name of an environment of `wrangler.toml`; without it that at the top */
export function readDeployment(env?: string, config = EDGE_CONFIG): EdgeDeployment {
  return unstable_readConfig({ config, ...(env && { env }) }, { hideWarnings: true });
}

/**
 * What keeps a deployment from serving, each with what helps; none where it can be deployed.
 * @param args those of `wrangler deploy`
 */
export function objectionsTo(args: readonly string[]): string[] {
  const { values } = parseArgs({ args: [...args], options: OPTIONS, strict: false });
  const env = typeof values.env === 'string' && values.env !== '' ? values.env : undefined;
  const config = typeof values.config === 'string' ? values.config : EDGE_CONFIG;
  const { kv_namespaces, vars } = readDeployment(env, config);
  const table = env === undefined ? 'kv_namespaces' : `env.${env}.kv_namespaces`;
  const objections = kv_namespaces.flatMap(({ binding, id }) =>
    id !== undefined && !PLACEHOLDER.test(id)
      ? []
      : [
          `The KV namespace ${binding} has no id of yours. Run "npx wrangler kv namespace create ${binding}", and put the id that it prints into [[${table}]] of wrangler.toml.`,
        ],
  );
  const given = (values.var ?? []).flatMap((pair) =>
    typeof pair === 'string'
      ? [[pair.slice(0, pair.indexOf(':')), pair.slice(pair.indexOf(':') + 1)]]
      : [],
  );
  const variables = { ...vars, ...Object.fromEntries(given) };
  for (const [name, meant] of Object.entries(mistypedVariables(Object.keys(variables)))) {
    objections.push(`The edge reads no variable ${name}: did you mean ${meant}?`);
  }
  const [name, addresses] = workersIn(variables);
  for (const url of addresses) {
    if (URL.canParse(url) && !LOOPBACK.test(new URL(url).hostname)) continue;
    objections.push(
      `${name} is ${url || 'not set'}, where Cloudflare finds no GPU worker. Set it in [${env === undefined ? '' : `env.${env}.`}vars] of wrangler.toml, or add "--var ${name}:https://…".`,
    );
  }
  return objections;
}

/** The variable that says where GPU workers are, and their addresses. */
function workersIn(variables: Record<string, unknown>): [string, string[]] {
  const { GPU_WORKER_URL: one, GPU_WORKER_URLS: many } = variables;
  if (typeof many !== 'string' || many.trim() === '') {
    return ['GPU_WORKER_URL', [typeof one === 'string' ? one : '']];
  }
  const { success, data } = workerAddresses().schema.safeParse(many);
  return ['GPU_WORKER_URLS', success ? data.map(({ url }) => url) : [many]];
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    console.log(HELP);
    return;
  }
  const objections = objectionsTo(args);
  for (const objection of objections) console.error(objection);
  const isDry = args.includes('--dry-run');
  if (objections.length > 0 && !isDry) {
    console.error('Nothing was deployed. docs/deploy.md has all steps.');
    process.exitCode = 1;
    return;
  }
  console.error(
    'The order of a new checkpoint: first its workers beside the old ones, then this, then the old workers go (docs/workers.md).',
  );
  const isNamed = args.some((arg) => /^(-e|--env)(=|$)/.test(arg));
  const wrangler = join(
    createRequire(import.meta.url).resolve('wrangler/package.json'),
    '../bin/wrangler.js',
  );
  // Without a name it would ask which environment is meant.
  const all = ['deploy', ...(isNamed ? [] : ['--env=']), ...args];
  const child = spawn(process.execPath, [wrangler, ...all], { cwd: ROOT, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
}

if (import.meta.main) await main();
