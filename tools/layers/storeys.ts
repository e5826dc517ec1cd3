/** The storeys of the house: the one place where the direction of imports is decided. */

/**
 * Each storey, the folders or files it consists of, and the storeys it may import. A file belongs to the first storey
 * that has a prefix of its path, so inner folders stand before those around them. Cycles are the linter's business
 * (`noImportCycles` in biome.json).
 */
const STOREYS: readonly Storey[] = [
  storey('shared', ['shared/'], []),

  // GPU worker, from the ground up.
  storey('onnx', ['gpu-worker/src/onnx/'], []),
  storey('runtime', ['gpu-worker/src/runtime/'], ['onnx', 'shared']),
  storey('builder', ['gpu-worker/src/builder/'], ['onnx', 'shared']),
  storey('decoding', ['gpu-worker/src/engine/decoding/'], ['shared']),
  storey('engine', ['gpu-worker/src/engine/'], ['decoding', 'runtime', 'onnx', 'shared']),
  storey('image', ['gpu-worker/src/image/'], ['shared']),
  storey('hub', ['gpu-worker/src/hub/'], ['shared']),
  storey('cli', ['gpu-worker/src/cli/'], ['worker', 'builder', 'hub', 'shared']),
  storey('http', ['gpu-worker/src/http/'], ['worker', 'engine', 'image', 'shared']),
  storey(
    'worker entry',
    ['gpu-worker/src/main.ts', 'gpu-worker/src/start-worker.ts'],
    ['worker', 'http', 'cli', 'hub', 'engine', 'builder', 'runtime', 'shared'],
  ),
  storey('worker', ['gpu-worker/src/'], ['hub', 'engine', 'builder', 'runtime', 'shared']),

  // Edge: routes over what they do, over what that needs. Its options are for the documentation too.
  storey('edge config', ['edge/src/config.ts'], ['shared']),
  storey(
    'edge routes',
    ['edge/src/routes/', 'edge/src/app.ts', 'edge/src/worker.ts'],
    ['edge core', 'edge ground', 'edge config', 'shared'],
  ),
  storey(
    'edge core',
    [
      'edge/src/generation/',
      'edge/src/retrieval/',
      'edge/src/embeddings/',
      'edge/src/image/',
      'edge/src/http/',
      'edge/src/dependencies.ts',
    ],
    ['edge ground', 'edge config', 'shared'],
  ),
  storey('edge ground', ['edge/'], ['edge config', 'shared']),

  storey('infra', ['infra/'], ['shared']),
  storey(
    'tools',
    ['tools/'],
    [
      'edge config',
      'worker entry',
      'worker',
      'cli',
      'hub',
      'image',
      'engine',
      'decoding',
      'builder',
      'runtime',
      'onnx',
      'shared',
    ],
  ),
];

type Storey = { name: string; prefixes: readonly string[]; below: ReadonlySet<string> };

function storey(name: string, prefixes: readonly string[], below: readonly string[]): Storey {
  return { name, prefixes, below: new Set(below) };
}

/** Tests stand beside the code they test and may use whatever is in their room; those in `test/` use every room. */
const TESTS = /\.test\.ts$|\/testing\/|^test\/|\/vitest\.config\.ts$/;
const ROOM = /^[^/]+/;

/**
 * What is wrong with an import; null when it goes down, or stays where it is.
 * @param file path of the importing file, from the root of the repository
 * @param target path of the imported one
 */
export function objectionTo(file: string, target: string): string | null {
  if (TESTS.test(file)) {
    const [room] = ROOM.exec(file) ?? [];
    const [targetRoom] = ROOM.exec(target) ?? [];
    const isNear = room === 'test' || [room, 'shared', 'test'].includes(targetRoom);
    return isNear ? null : `${file} tests one room and imports ${target} of another`;
  }
  if (TESTS.test(target)) return `${file} imports ${target}, which is for tests only`;
  const [from, to] = [storeyOf(file), storeyOf(target)];
  if (from === undefined) return `${file} is in no storey`;
  if (to === undefined) return `${file} imports ${target}, which is in no storey`;
  if (from === to || from.below.has(to.name)) return null;
  return `${file} (${from.name}) imports ${target} (${to.name}), which is not below it`;
}

function storeyOf(file: string): Storey | undefined {
  return STOREYS.find(({ prefixes }) => prefixes.some((prefix) => file.startsWith(prefix)));
}
