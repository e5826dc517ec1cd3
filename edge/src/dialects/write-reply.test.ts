/** How many of the oldest turns are left out of a conversation that is too long, and how often that takes a tokenizer. */

import { preparePrompt } from '@blip2/shared/generation/prepare-prompt';
import type { Turn } from '@blip2/shared/prompts';
import { expect, it } from 'vitest';
import { startEdge } from '../testing/edge.ts';
import { generative } from '../testing/models.ts';
import { type Conversation, promptOf } from './conversation.ts';
import { prepareReply } from './write-reply.ts';

const image = { url: '0'.repeat(64), field: 'input.0.content.0.image_url' };
const tooLong = expect.objectContaining({ slug: 'prompt-too-long' });

/** What a reply would be written with, and of how many texts the tokens were counted. */
function prepared(conversation: Conversation) {
  let count = 0;
  const { deps } = startEdge({ platform: { randomSeed: () => 1 } });
  const tokenizer = () => ({
    ...generative.tokenizer(),
    encode: (text: string) => {
      count++;
      return generative.tokenizer().encode(text);
    },
  });
  const counted = { ...deps, models: { ...deps.models, generate: { ...generative, tokenizer } } };
  const request = { conversation, options: {}, field: 'input', mayTruncate: true };
  try {
    return { generation: prepareReply(counted, request).generation, count };
  } catch (thrown) {
    return { thrown, count };
  }
}

const turns = (count: number, words: (i: number) => number): Turn[] =>
  Array.from({ length: count }, (_, i) => ({
    question: `${'is it red '.repeat(words(i))}${i}?`,
    answer: 'yes',
  }));

it.each([
  ['of like turns', turns(40, () => 1)],
  ['of turns that get longer', turns(12, (i) => i)],
  ['of turns that get shorter', turns(12, (i) => 12 - i)],
  ['with one long turn', turns(20, (i) => (i === 7 ? 60 : 0))],
])('of a conversation %s as few are left out as with one turn less each time', (_, history) => {
  const conversation = { image, system: 'be brief.', history, question: 'what is it?' };
  const { deps } = startEdge({ platform: { randomSeed: () => 1 } });
  const fitting = history.flatMap((_, dropped) => {
    const part = { ...conversation, history: history.slice(dropped) };
    try {
      return [preparePrompt(deps, { text: promptOf(generative.family, part) }, {}).generation];
    } catch {
      return [];
    }
  });
  // What the context leaves for the reply says how long the prompt is.
  expect(prepared(conversation).generation).toEqual(fitting[0]);
});

it('tokens are counted a few times, however many turns there are', () => {
  const history = turns(127, () => 0);
  const fits = prepared({ image, system: '', history, question: 'what?' });
  expect(fits.count).toBeLessThanOrEqual(2 + Math.log2(history.length) + 1);
});

it('tokens of a question that never fits are counted twice', () => {
  const history = turns(127, () => 0);
  const { thrown, count } = prepared({ image, system: '', history, question: '中'.repeat(1300) });
  expect(thrown).toEqual(tooLong);
  expect(count).toBeLessThanOrEqual(2);
});
