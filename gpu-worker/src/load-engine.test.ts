/** A bundle that is not as it was built never serves: it is built again, and answers as before. */
import {
  chmod,
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
import { decodeJson } from '@blip2/shared/frames';
import type { MatchScore, WorkerModel } from '@blip2/shared/wire';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureBundle, readManifest } from './builder/index.ts';
import { endless, framesOf, TestWorker } from './http/testing/test-worker.ts';
import { chooseCheckpoints, MODEL_OPTIONS } from './model-options.ts';

/** What lies beside a bundle of either kind. */
type Known = {
  tokens: { logprob: number }[];
  embeddings: number[];
  text: number[];
  score: MatchScore;
};

let bundles: string;
let bundle: string;
let retrievalBundle: string;
let tokens: number[];
let scores: MatchScore[];
beforeAll(async () => {
  bundles = await mkdtemp(join(tmpdir(), 'blip2-damage-'));
  const test = await TestWorker.start({ bundles, maxSlots: 1 });
  ({ tokens } = await test.ask(test.generate(), test.image(0)));
  scores = await scoresOf(test);
  await test.worker.stop();
  for (const name of (await readdir(bundles)).filter((entry) => !entry.startsWith('.'))) {
    const { kind } = await readManifest(join(bundles, name));
    if (kind === 'generate') bundle = join(bundles, name);
    else retrievalBundle = join(bundles, name);
  }
}, 120_000);
afterAll(() => rm(bundles, { recursive: true, force: true }));

/** What the retrieval model says of an image and two texts. */
async function scoresOf(test: TestWorker): Promise<MatchScore[]> {
  const { retrieval } = (await (await fetch(`${test.worker.url}/v1/model`)).json()) as WorkerModel;
  const request = {
    ...{ kind: 'match', request_id: 'test', deadline_ms: 20_000 },
    revision: retrieval?.revision,
    texts: [
      [2, 40, 50, 3],
      [2, 60, 3],
    ],
  };
  const frames = await framesOf(await test.send(request, test.image(0)));
  return decodeJson(frames.find(({ type }) => type === 'scores')!.payload) as MatchScore[];
}

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

  it('in weights of the retrieval model is noticed at the load as well, and mended', async () => {
    for (const path of ['vision.bin', 'itm.bin']) {
      await flip(join(retrievalBundle, path));
      const test = await TestWorker.start({ bundles, maxSlots: 1 });
      const lines = test.logged.filter(({ event }) => event === 'bundle-damaged');
      expect(lines).toMatchObject([{ bundle: retrievalBundle, files: [path] }]);
      expect(await scoresOf(test)).toEqual(scores);
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
  beforeAll(async () => {
    await (await TestWorker.start({ bundles, maxSlots: 1 })).worker.stop();
  }, 120_000);

  it.each<[string, 'generate' | 'retrieve', (known: Known) => void, RegExp]>([
    [
      'log-probabilities of tokens',
      'generate',
      (known) => {
        known.tokens[0]!.logprob -= 2;
      },
      /log-probability of token \d+ is \S+ away/,
    ],
    [
      'query embeddings',
      'generate',
      (known) => {
        known.embeddings = known.embeddings.map((value, i) => (i % 3 === 0 ? -value : value));
      },
      /query embeddings have a relative error of/,
    ],
    [
      'embeddings of texts',
      'retrieve',
      (known) => {
        known.text = known.text.map((value, i) => (i % 3 === 0 ? -value : value));
      },
      /embedding of a text has a relative error of/,
    ],
    [
      'ITM scores',
      'retrieve',
      (known) => {
        known.score.itm = 1 - known.score.itm;
      },
      /itm score is \S+ away/,
    ],
    [
      'ITC scores',
      'retrieve',
      (known) => {
        known.score.itc -= 0.4;
      },
      /itc score is \S+ away/,
    ],
  ])(
    'does not become ready: %s',
    async (_, kind, change, detail) => {
      const path = join(kind === 'generate' ? bundle : retrievalBundle, 'known-answer.json');
      const text = await readFile(path, 'utf8');
      const known = JSON.parse(text);
      change(known);
      await writeFile(path, JSON.stringify(known));
      await expect(TestWorker.start({ bundles, maxSlots: 1 })).rejects.toThrow(
        new RegExp(`does not compute what it computed .*${detail.source}`),
      );
      await writeFile(path, text);
    },
    120_000,
  );

  it('becomes ready once the answers are the known ones again', async () => {
    await (await TestWorker.start({ bundles, maxSlots: 1 })).worker.stop();
  }, 120_000);
});
