/** A bundle that is not as it was built never serves: it is built again, and answers as before. */
import {
  chmod,
  copyFile,
  cp,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withDefaults } from '@blip2/shared/config/option';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureBundle, readManifest } from './builder/index.ts';
import { endless, framesOf, TestWorker } from './http/testing/test-worker.ts';
import { chooseCheckpoints, MODEL_OPTIONS } from './model-options.ts';

let bundles: string;
let bundle: string;
let tokens: number[];
beforeAll(async () => {
  bundles = await mkdtemp(join(tmpdir(), 'blip2-damage-'));
  const test = await TestWorker.start({ bundles, maxSlots: 1 });
  ({ tokens } = await test.ask(test.generate(), test.image(0)));
  await test.worker.stop();
  const [name] = (await readdir(bundles)).filter((entry) => !entry.startsWith('.'));
  bundle = join(bundles, name as string);
}, 120_000);
afterAll(() => rm(bundles, { recursive: true, force: true }));

/** Changes one bit in the middle of a file. */
async function flip(path: string): Promise<void> {
  await chmod(path, 0o644);
  await using file = await open(path, 'r+');
  const at = Math.floor((await file.stat()).size / 2);
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  await file.write(Buffer.from([byte[0]! ^ 0x10]), 0, 1, at);
}

const rebuilt = () =>
  ensureBundle(chooseCheckpoints(withDefaults(MODEL_OPTIONS)).checkpoint, { bundles });

describe('a bit that changes', () => {
  it('in a graph, a tokenizer, a copied file or the manifest is noticed by whoever looks for the bundle', async () => {
    const manifest = await readManifest(bundle);
    const small = manifest.files.filter(({ bytes }) => bytes < 2 ** 20).map(({ path }) => path);
    expect(small).toContain('decoder.onnx');
    for (const path of [...small, 'manifest.json']) {
      const before = await readFile(join(bundle, path));
      await flip(join(bundle, path));
      expect(await rebuilt()).toBe(bundle);
      expect(before.equals(await readFile(join(bundle, path))), path).toBe(true);
    }
  }, 300_000);

  it('in weights is noticed at the load, before anything is served, and mended', async () => {
    for (const path of ['vision.bin', 'decoder.bin']) {
      await flip(join(bundle, path));
      const test = await TestWorker.start({ bundles, maxSlots: 1 });
      const lines = test.logged.filter(({ event }) => event === 'bundle-damaged');
      expect(lines).toMatchObject([{ files: [path] }]);
      expect((await test.ask(test.generate(), test.image(0))).tokens).toEqual(tokens);
      await test.worker.stop();
    }
  }, 120_000);

  it('in weights that are served ends the worker, and every stream with a problem', async () => {
    const test = await TestWorker.start({ bundles, maxSlots: 1 });
    const request = test.generate({ generation: endless(200) });
    const stream = framesOf(await test.send(request, test.image(0)));
    await flip(join(bundle, 'decoder.bin'));
    expect(await test.worker.crashed).toMatchObject({ slug: 'worker-unavailable' });
    const last = (await stream).at(-1);
    expect(['done', 'error']).toContain(last?.type);
    await expect(fetch(`${test.worker.url}/readyz`)).rejects.toThrow();
    const lines = test.logged.filter(({ event }) => event === 'bundle-changed');
    expect(lines).toMatchObject([{ level: 'error', file: join(bundle, 'decoder.bin') }]);
    await test.worker.engine.stop();
  }, 120_000);

  it('in a bundle that is put in the place of the served one does not end the worker', async () => {
    const test = await TestWorker.start({ bundles, maxSlots: 1 });
    const served = `${bundle}.served`;
    await rename(bundle, served);
    await cp(served, bundle, { recursive: true });
    await flip(join(bundle, 'decoder.bin'));
    await rm(served, { recursive: true });
    expect((await test.ask(test.generate(), test.image(0))).tokens).toEqual(tokens);
    await test.worker.stop();
  }, 120_000);
});

describe('a model that does not compute what it computed', () => {
  it('does not become ready', async () => {
    const path = join(bundle, 'known-answer.json');
    await (await TestWorker.start({ bundles, maxSlots: 1 })).worker.stop();
    await copyFile(path, `${path}.good`);
    const known = JSON.parse(await readFile(path, 'utf8'));
    known.tokens[0].logprob -= 2;
    await writeFile(path, JSON.stringify(known));
    await expect(TestWorker.start({ bundles, maxSlots: 1 })).rejects.toThrow(
      /does not compute what it computed .* log-probability of token/,
    );
    await copyFile(`${path}.good`, path);
    await (await TestWorker.start({ bundles, maxSlots: 1 })).worker.stop();
  }, 120_000);
});
