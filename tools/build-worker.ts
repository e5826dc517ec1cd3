/** Bundles a Worker with wrangler, into the very modules that a deploy would upload. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { endsWithParent } from '@blip2/gpu-worker/ends-with-parent';

const LOCK = fileURLToPath(new URL('../package-lock.json', import.meta.url));
const CACHE = fileURLToPath(new URL('../node_modules/.cache/workers', import.meta.url));
/** Bundles that are cached: what changes all the time must not pile up. */
const CACHED = 16;

/** What wrangler calls a module's kind, by the media type under which it uploads one. */
const MODULE_TYPES = {
  'application/javascript+module': 'ESModule',
  'application/javascript': 'CommonJS',
  'text/plain': 'Text',
  'application/octet-stream': 'Data',
  'application/wasm': 'CompiledWasm',
} as const;
const SOURCE_MAP = 'application/source-map';

type WorkerModule = {
  /** Name under which the others import it. */
  name: string;
  type: (typeof MODULE_TYPES)[keyof typeof MODULE_TYPES];
  contents: string | Uint8Array<ArrayBuffer>;
};

export type WorkerBundle = { main: WorkerModule; others: WorkerModule[] };

/** Environment in which wrangler prints no banner and sends nothing over the network. */
export const QUIET_WRANGLER = {
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  DO_NOT_TRACK: '1',
} as const;

export type BuildOptions = {
  /** Path of a `wrangler.toml`. */
  config: string;
  entrypoint: string;
  /** Folders and files of which the Worker is made, beside installed packages. */
  sources: readonly string[];
};

/**
 * What was bundled from the same sources, configuration and packages is not bundled again: wrangler takes a second.
 * @throws Error with wrangler's message when the Worker cannot be bundled
 * @example
 * const sources = ['edge/src', 'shared/src'];
 * await buildWorker({ config: 'wrangler.toml', entrypoint: 'edge/src/worker.ts', sources });
 */
export async function buildWorker({
  config,
  entrypoint,
  sources,
}: BuildOptions): Promise<WorkerBundle> {
  const key = await hashFiles([config, LOCK, ...sources]);
  const upload = join(CACHE, `${basename(entrypoint)}-${key}`);
  if (!existsSync(upload)) {
    await mkdir(CACHE, { recursive: true });
    const folder = await mkdtemp(join(CACHE, 'building-'));
    try {
      const built = join(folder, 'upload');
      await runWrangler('deploy', entrypoint, '-c', config, '--dry-run', '--outfile', built);
      if ((await hashFiles([config, LOCK, ...sources])) !== key) {
        throw new Error('The sources of the Worker changed while it was bundled. Start again.');
      }
      await rename(built, upload);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    await removeOldest();
  }
  return await readUpload(await readFile(upload));
}

async function runWrangler(...args: readonly string[]): Promise<void> {
  const wrangler = createRequire(import.meta.url).resolve('wrangler/package.json');
  try {
    const program = join(wrangler, '../bin/wrangler.js');
    await promisify(execFile)(...endsWithParent(process.execPath, [program, ...args]), {
      env: { ...process.env, ...QUIET_WRANGLER },
    });
  } catch (cause) {
    const { stderr, message } = cause as Error & { stderr?: string };
    throw new Error(`wrangler could not bundle the Worker: ${stderr || message}`, { cause });
  }
}

async function removeOldest(): Promise<void> {
  const paths = (await readdir(CACHE)).map((name) => join(CACHE, name));
  const dated = await Promise.all(
    paths.map(async (path) => ({ path, at: (await stat(path).catch(() => null))?.mtimeMs ?? 0 })),
  );
  const old = dated.sort((a, b) => b.at - a.at).slice(CACHED);
  await Promise.all(old.map(({ path }) => rm(path, { recursive: true, force: true })));
}

/** SHA-256 of the names and contents of files, and of all files in folders; where the folders lie does not matter. */
async function hashFiles(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    const isFolder = (await stat(path)).isDirectory();
    const names = isFolder ? await readdir(path, { recursive: true, withFileTypes: true }) : [];
    const files = names.filter((entry) => entry.isFile()).map((e) => join(e.parentPath, e.name));
    for (const file of isFolder ? files.sort() : [path]) {
      const contents = await readFile(file);
      hash.update(`${relative(path, file)}\0${contents.byteLength}\0`).update(contents);
    }
  }
  return hash.digest('hex');
}

/** The modules in the form that wrangler sends to Cloudflare. */
async function readUpload(bytes: Uint8Array<ArrayBuffer>): Promise<WorkerBundle> {
  const [delimiter = ''] = new TextDecoder().decode(bytes.subarray(0, 200)).split('\r\n');
  const type = `multipart/form-data; boundary=${delimiter.slice(2)}`;
  const form = await new Response(bytes, { headers: { 'content-type': type } }).formData();
  const { main_module } = JSON.parse(String(form.get('metadata'))) as { main_module?: string };
  const modules: WorkerModule[] = [];
  for (const [name, part] of form) {
    if (typeof part !== 'string' && part.type !== SOURCE_MAP) {
      modules.push(await readModule(name, part));
    }
  }
  const main = modules.find(({ name }) => name === main_module);
  if (main === undefined) throw new Error('wrangler bundled a Worker without its main module.');
  return { main, others: modules.filter((module) => module !== main) };
}

async function readModule(name: string, part: File): Promise<WorkerModule> {
  const type = MODULE_TYPES[part.type as keyof typeof MODULE_TYPES];
  if (type === undefined) throw new Error(`wrangler bundled ${name}, of the kind ${part.type}.`);
  const isBinary = type === 'Data' || type === 'CompiledWasm';
  return {
    name,
    type,
    contents: isBinary ? new Uint8Array(await part.arrayBuffer()) : await part.text(),
  };
}
