/** Imports go down only: the check refuses what the layers forbid, and the repository passes it. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { objectionTo } from '../../tools/layers/layers.ts';
import { importsOf, readImports } from '../../tools/layers/read-imports.ts';

describe('the layers', () => {
  it.each([
    ['shared/src/a.ts', 'gpu-worker/src/config.ts'],
    ['shared/src/b.ts', 'edge/src/app.ts'],
    ['edge/src/a.ts', 'gpu-worker/src/http/handle-request.ts'],
    ['edge/src/c.ts', 'tools/local-stack.ts'],
    ['edge/src/generation/generate.ts', 'edge/src/routes/answers.ts'],
    ['edge/src/gpu/client.ts', 'edge/src/embeddings/embedding-cache.ts'],
    ['gpu-worker/src/metrics.ts', 'edge/src/app.ts'],
    ['gpu-worker/src/onnx/graph.ts', 'gpu-worker/src/builder/index.ts'],
    ['gpu-worker/src/runtime/session.ts', 'gpu-worker/src/engine/protocol.ts'],
    ['gpu-worker/src/engine/engine.ts', 'gpu-worker/src/builder/index.ts'],
    ['gpu-worker/src/builder/index.ts', 'gpu-worker/src/engine/engine.ts'],
    ['gpu-worker/src/engine/decoding/sample-token.ts', 'gpu-worker/src/engine/engine.ts'],
    ['gpu-worker/src/http/app.ts', 'gpu-worker/src/main.ts'],
    ['gpu-worker/src/metrics.ts', 'gpu-worker/src/http/app.ts'],
    ['gpu-worker/src/engine/engine.ts', 'test/support/engine-driver.ts'],
    ['tools/eval.ts', 'test/support/test-images.ts'],
    ['edge/src/app.test.ts', 'gpu-worker/src/config.ts'],
    ['nowhere/a.ts', 'shared/src/wire.ts'],
  ])('%s may not import %s', (file, target) => {
    expect(objectionTo(file, target)).toContain(file);
  });

  it.each([
    ['edge/src/a.ts', 'shared/src/errors.ts'],
    ['edge/src/routes/a.ts', 'edge/src/http/sse.ts'],
    ['gpu-worker/src/engine/engine.ts', 'gpu-worker/src/runtime/session.ts'],
    ['gpu-worker/src/start-worker.ts', 'gpu-worker/src/http/app.ts'],
    ['gpu-worker/src/runtime/a.test.ts', 'gpu-worker/src/engine/engine.ts'],
    ['tools/local-stack.ts', 'gpu-worker/src/builder/index.ts'],
    ['test/end-to-end/a.test.ts', 'edge/src/app.ts'],
  ])('%s may import %s', (file, target) => {
    expect(objectionTo(file, target)).toBeNull();
  });
});

it('finds every form of import, those of types and of workspaces included', () => {
  const source = `
    import { a } from './a.ts';
    import type { B } from '../b.ts';
    export { c } from './c.ts';
    export * from '@blip2/shared/schemas/image';
    import sharp from 'sharp';
    import text from './page.html';
    const d = await import('./d.ts');
  `;
  expect(importsOf('edge/src/x/file.ts', source)).toEqual([
    'edge/src/x/a.ts',
    'edge/src/b.ts',
    'edge/src/x/c.ts',
    'shared/src/schemas/image.ts',
    'edge/src/x/d.ts',
  ]);
});

it('holds for every file of this repository', () => {
  const imports = readImports(fileURLToPath(new URL('../..', import.meta.url)));
  expect(imports.size).toBeGreaterThan(200);
  const objections = [...imports].flatMap(([file, targets]) =>
    targets.flatMap((target) => objectionTo(file, target) ?? []),
  );
  expect(objections).toEqual([]);
});
