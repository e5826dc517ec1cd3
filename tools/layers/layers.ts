/** The layers of the code: the one table of what may import what. */

/**
 * Each layer, the folders or files it consists of, and the layers it may import. A file belongs to the first layer
 * that has a prefix of its path, so inner folders stand before those around them. Cycles are the linter's business
 * (`noImportCycles` in biome.json).
 */
const LAYERS: readonly Layer[] = [
  layer('shared', ['shared/'], []),

  // GPU worker, from the ground up.
  layer(
    'ground',
    [
      'gpu-worker/src/ends-with-parent.ts',
      'gpu-worker/src/file-errors.ts',
      'gpu-worker/src/make-folder.ts',
      'gpu-worker/src/process-lock.ts',
      'gpu-worker/src/qformer-tokenizer-files.ts',
      'gpu-worker/src/regular-file.ts',
    ],
    [],
  ),
  layer('onnx', ['gpu-worker/src/onnx/'], ['ground']),
  layer('runtime', ['gpu-worker/src/runtime/'], ['onnx', 'ground', 'shared']),
  layer('builder', ['gpu-worker/src/builder/'], ['onnx', 'ground', 'shared']),
  layer('decoding', ['gpu-worker/src/engine/decoding/'], ['shared']),
  layer('engine', ['gpu-worker/src/engine/'], ['decoding', 'runtime', 'onnx', 'shared']),
  layer('image', ['gpu-worker/src/image/'], ['engine', 'ground', 'shared']),
  layer('hub', ['gpu-worker/src/hub/'], ['ground', 'shared']),
  layer('cli', ['gpu-worker/src/cli/'], ['worker', 'builder', 'hub', 'shared']),
  layer('jobs', ['gpu-worker/src/jobs/'], ['worker', 'http', 'engine', 'shared']),
  layer(
    'parts',
    ['gpu-worker/src/parts/'],
    ['jobs', 'http', 'worker', 'hub', 'ground', 'engine', 'shared'],
  ),
  layer('http', ['gpu-worker/src/http/'], ['worker', 'engine', 'image', 'shared']),
  layer(
    'worker entry',
    ['gpu-worker/src/main.ts', 'gpu-worker/src/part.ts', 'gpu-worker/src/start-worker.ts'],
    [
      'worker',
      'parts',
      'jobs',
      'http',
      'cli',
      'hub',
      'image',
      'engine',
      'builder',
      'runtime',
      'ground',
      'shared',
    ],
  ),
  layer(
    'worker',
    ['gpu-worker/src/'],
    ['hub', 'image', 'engine', 'builder', 'runtime', 'ground', 'shared'],
  ),

  // Edge: routes over what they do, over what that needs. Its options are documented with those of all programs.
  layer('edge config', ['edge/src/config.ts'], ['shared']),
  // Pure, and simulated with whole fleets.
  layer('edge routing', ['edge/src/gpu/bounded-load.ts', 'edge/src/gpu/rendezvous.ts'], []),
  // Of hosts: known to the network over which `npm start` reaches them, too.
  layer('edge hosts', ['edge/src/image/public-address.ts', 'edge/src/image/host-failure.ts'], []),
  layer(
    'edge routes',
    ['edge/src/routes/', 'edge/src/dialects/', 'edge/src/app.ts', 'edge/src/worker.ts'],
    ['edge core', 'edge ground', 'edge hosts', 'edge config', 'shared'],
  ),
  layer(
    'edge core',
    [
      'edge/src/generation/',
      'edge/src/predictions/',
      'edge/src/retrieval/',
      'edge/src/embeddings/',
      'edge/src/deletion/',
      'edge/src/image/',
      'edge/src/http/',
      'edge/src/idempotency/',
      'edge/src/jobs/',
      'edge/src/dependencies.ts',
    ],
    ['edge ground', 'edge hosts', 'edge config', 'shared'],
  ),
  layer('page', ['edge/src/page/'], ['shared']),
  layer('edge ground', ['edge/'], ['edge config', 'edge routing', 'shared']),

  layer('infra', ['infra/'], ['shared']),
  layer(
    'tools',
    ['tools/'],
    [
      'infra',
      'edge config',
      'edge routing',
      'edge hosts',
      'worker entry',
      'worker',
      'parts',
      'jobs',
      'cli',
      'hub',
      'image',
      'engine',
      'decoding',
      'builder',
      'runtime',
      'onnx',
      'ground',
      'shared',
    ],
  ),
];

type Layer = { name: string; prefixes: readonly string[]; below: ReadonlySet<string> };

function layer(name: string, prefixes: readonly string[], below: readonly string[]): Layer {
  return { name, prefixes, below: new Set(below) };
}

/** Tests stand beside the code they test and may use whatever is in their workspace; those in `test/` use every workspace. */
const TESTS = /\.test\.ts$|\/testing\/|^test\/|\/vitest\.config\.ts$/;
const WORKSPACE = /^[^/]+/;

/**
 * Why an import is not allowed; null when it goes down, or stays in its layer.
 * @param file path of the importing file, from the root of the repository
 * @param target path of the imported one
 */
export function objectionTo(file: string, target: string): string | null {
  if (TESTS.test(file)) {
    const [workspace] = WORKSPACE.exec(file) ?? [];
    const [targetWorkspace] = WORKSPACE.exec(target) ?? [];
    const isNear = workspace === 'test' || [workspace, 'shared', 'test'].includes(targetWorkspace);
    return isNear ? null : `${file} tests one workspace and imports ${target} of another`;
  }
  if (TESTS.test(target)) return `${file} imports ${target}, which is for tests only`;
  const [from, to] = [layerOf(file), layerOf(target)];
  if (from === undefined) return `${file} is in no layer`;
  if (to === undefined) return `${file} imports ${target}, which is in no layer`;
  if (from === to || from.below.has(to.name)) return null;
  return `${file} (${from.name}) imports ${target} (${to.name}), which is not below it`;
}

function layerOf(file: string): Layer | undefined {
  return LAYERS.find(({ prefixes }) => prefixes.some((prefix) => file.startsWith(prefix)));
}
