import { imageIdOf } from '@blip2/shared/image-id';
import { expect, it } from 'vitest';
import { newImage } from '../testing/edge.ts';
import type { FoundOrMissing } from './lookup-many.ts';
import { toJsonLines } from './represent-many.ts';

it('writes each line with embeddings in its turn', async () => {
  const [found, missing] = [await imageIdOf(newImage()), await imageIdOf(newImage())];
  const shape = { numQueries: 1, hidden: 2 };
  const image = { width: 1, height: 1 } as never;
  const entries = async function* (): AsyncGenerator<FoundOrMissing, void, undefined> {
    const payload = new Uint8Array(Float32Array.of(1, 2).buffer);
    yield { id: found, type: 'float32', payload, image };
    yield { id: missing };
  };
  let turns = 0;
  const inTurn = async <T>(make: () => T) => {
    turns++;
    return make();
  };
  let text = '';
  for await (const line of toJsonLines(entries(), shape, inTurn)) {
    text += new TextDecoder().decode(line);
  }
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines).toEqual([
    { sha256: found, embeddings: [[1, 2]], image },
    { sha256: missing, missing: true },
  ]);
  expect(turns).toBe(1);
});
