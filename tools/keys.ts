/** `npm run keys`: makes, lists and revokes API keys, in the local storage of `npm start` or in a deployment's KV. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { styleText } from 'node:util';
import { createKey, type KeyLimits, KeyRecord, keyName, SCOPES } from '@blip2/shared/api-key';
import { configure } from '@blip2/shared/config/configure';
import { helpOf } from '@blip2/shared/config/help';
import { nearest } from '@blip2/shared/config/nearest';
import { EDGE_CONFIG } from './local-stack.ts';
import { ROOT } from './prepare-edge.ts';
import { KEYS } from './programs/service.ts';

const DAY_MS = 86_400_000;
/** Digits of the hash by which people name a key. */
const ID_DIGITS = 12;
const PREFIX = 'key/';
const COMMANDS = ['create', 'list', 'revoke', 'usage'] as const;

const {
  values: config,
  positionals: [command, name],
} = configure(KEYS);

/** A key as it is listed: never the key itself. */
type Listed = {
  id: string;
  name: string;
  scopes: readonly string[];
  /** Null where it is that of all keys without one. */
  namespace: string | null;
  created: string;
  expires: string | null;
  /** Those that differ from those of all keys; null is none. */
  limits?: KeyLimits;
};

async function main(): Promise<unknown> {
  switch (command) {
    case undefined:
      return helpOf(KEYS);
    case 'create':
      return await create(need(name, 'a name'));
    case 'list':
      return await Promise.all((await names()).map(read));
    case 'revoke':
      return await revoke(need(name, 'the id of a key, as list prints it'));
    case 'usage':
      // It is in the Durable Object of the key, which only the deployment reads, and for whoever has the key.
      throw new Error(
        'What a key has used is counted where this tool cannot read. Ask the service with the key itself, which counts as no request: curl -H "authorization: Bearer $KEY" https://…/v1/usage',
      );
    default: {
      const meant = nearest(command, COMMANDS);
      throw new Error(
        `Unknown command "${command}". ${meant === undefined ? 'See --help.' : `Did you mean ${meant}?`}`,
      );
    }
  }
}

async function create(called: string): Promise<object> {
  const {
    scopes = SCOPES,
    days,
    requestsPerMinute,
    tokensPerMinute,
    imagesPerDay,
    openStreams,
    namespace,
  } = config;
  const limits = {
    ...(requestsPerMinute !== undefined && { requests_per_minute: requestsPerMinute }),
    ...(tokensPerMinute !== undefined && { tokens_per_minute: tokensPerMinute }),
    ...(imagesPerDay !== undefined && { images_per_day: imagesPerDay }),
    ...(openStreams !== undefined && { open_streams: openStreams }),
  } satisfies KeyLimits;
  // An empty variable of a script must not make a tenant's key one of everybody's namespace.
  if (namespace === undefined && process.argv.some((word) => /^--namespace(=|$)/.test(word))) {
    throw new Error(
      '--namespace is empty: name a tenant, or leave it out for the shared namespace.',
    );
  }
  const now = Date.now();
  const parsed = KeyRecord.safeParse({
    name: called,
    scopes,
    created_at: now,
    ...(days === undefined ? {} : { expires_at: now + days * DAY_MS }),
    ...(Object.keys(limits).length > 0 && { limits }),
    ...(namespace === undefined ? {} : { namespace }),
  });
  if (!parsed.success) throw new Error('The name must have from 1 to 64 characters.');
  const key = createKey();
  const stored = await keyName(key);
  await wrangler('put', stored, JSON.stringify(parsed.data));
  return { key, ...listed(stored, parsed.data) };
}

async function revoke(id: string): Promise<object> {
  if (!/^[0-9a-f]{12,64}$/.test(id)) {
    throw new Error(
      `"${id}" is no id of a key: at least ${ID_DIGITS} digits, as list prints them.`,
    );
  }
  const [found, ...others] = (await names()).filter((each) => each.startsWith(PREFIX + id));
  if (found === undefined) throw new Error(`There is no key ${id}. See list.`);
  if (others.length > 0) throw new Error(`Several keys begin with ${id}: give more digits.`);
  const revoked = await read(found);
  await wrangler('delete', found);
  return { revoked };
}

async function names(): Promise<string[]> {
  const entries = JSON.parse(await wrangler('list', '--prefix', PREFIX)) as { name: string }[];
  return entries.map((entry) => entry.name);
}

async function read(stored: string): Promise<Listed> {
  return listed(stored, KeyRecord.parse(JSON.parse(await wrangler('get', stored, '--text'))));
}

function listed(stored: string, record: KeyRecord): Listed {
  const { name: called, scopes, created_at, expires_at, limits, namespace = null } = record;
  return {
    id: stored.slice(PREFIX.length, PREFIX.length + ID_DIGITS),
    name: called,
    scopes,
    namespace,
    created: new Date(created_at).toISOString(),
    expires: expires_at === undefined ? null : new Date(expires_at).toISOString(),
    ...(limits && { limits }),
  };
}

function need(argument: string | undefined, what: string): string {
  if (argument === undefined) throw new Error(`"${command}" needs ${what}. See --help.`);
  return argument;
}

/** What `wrangler kv key …` prints. @throws Error with what it complains of */
async function wrangler(verb: string, ...args: readonly string[]): Promise<string> {
  const where = config.remote ? ['--remote'] : ['--local', '--persist-to', config.storage];
  const entry = join(ROOT, 'node_modules/wrangler/bin/wrangler.js');
  const all = ['kv', 'key', verb, ...args, '--binding', 'KEYS', '--config', EDGE_CONFIG, ...where];
  const child = spawn(process.execPath, [entry, ...all], {
    cwd: ROOT,
    env: { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_HIDE_BANNER: 'true' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, errors] = [text(child.stdout), text(child.stderr)];
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0)
    throw new Error(`wrangler kv key ${verb} failed: ${(await errors) || (await output)}`);
  return await output;
}

try {
  const result = await main();
  console.log(typeof result === 'string' ? result : JSON.stringify(result, null, 2));
} catch (error) {
  console.error(styleText('red', error instanceof Error ? error.message : String(error)));
  process.exitCode = 1;
}
