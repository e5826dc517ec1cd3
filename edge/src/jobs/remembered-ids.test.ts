/** Texts that all items of a job have are tokenized once. */
import { expect, test } from 'vitest';
import { createApp } from '../app.ts';
import { startEdge } from '../testing/edge.ts';
import { generative, retrieval } from '../testing/models.ts';
import type { BatchLine } from './contract.ts';
import { Rehearser } from './rehearsal.ts';
import { rememberingModels } from './remembered-ids.ts';

/** The models, and of which texts they were asked the ids. */
function countedModels() {
  const asked: string[] = [];
  const counted = <Model extends typeof generative | typeof retrieval>(model: Model): Model => ({
    ...model,
    tokenizer: () => ({
      ...model.tokenizer(),
      encode: (text: string) => {
        asked.push(text);
        return model.tokenizer().encode(text);
      },
    }),
  });
  const { deps } = startEdge();
  const models = { ...deps.models, generate: counted(generative), retrieve: counted(retrieval) };
  return { deps: { ...deps, models }, asked };
}

test('texts of settings are tokenized once for all items, at their rehearsals and performances', async () => {
  const { deps, asked } = countedModels();
  const texts = ['a dog', 'a cat'];
  for (let part = 0; part < 2; part++) {
    const waitUntil = () => {};
    const rehearser = new Rehearser({ deps, createApp, storeImage: async () => {}, waitUntil });
    for (let item = 0; item < 5; item++) {
      const image = { url: `https://images.example.org/${item}.png` };
      const line: BatchLine = {
        ...{ custom_id: `${item}`, method: 'POST', url: '/v1/match' },
        body: { texts, image },
      };
      const owner = { namespace: '', isOfBucket: false, name: `job-${part}-${item}` };
      const rehearsed = await rehearser.rehearse(line, owner);
      if (rehearsed.kind !== 'work') throw new Error(JSON.stringify(rehearsed));
      const { work } = rehearsed;
      expect(work.task).toMatchObject({ kind: 'match' });
      await rehearser.perform(line, owner, { events: [], sha256: 'd'.repeat(64), work });
    }
  }
  expect(asked).toEqual(texts);
});

test('what is remembered cannot be changed by who gets it, and has bounds', () => {
  const { deps, asked } = countedModels();
  const { encode } = rememberingModels(deps.models).generate.tokenizer();
  const first = encode('a dog');
  const ids = [...first];
  first.push(1);
  encode('a dog').push(2);
  expect(encode('a dog')).toEqual(ids);
  expect(asked).toEqual(['a dog']);
  for (let i = 0; i < 200; i++) encode(`${i} `.repeat(1000));
  encode('a dog');
  expect(asked.filter((text) => text === 'a dog')).toHaveLength(2);
});
