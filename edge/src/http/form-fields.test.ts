import { AnswerRequest } from '@blip2/shared/schemas/answers';
import { CaptionRequest } from '@blip2/shared/schemas/captions';
import { EmbeddingsRequest } from '@blip2/shared/schemas/embeddings';
import { MatchRequest } from '@blip2/shared/schemas/match';
import { describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import { fieldsFromForm } from './form-fields.ts';
import { parseUrlEncoded } from './url-encoded.ts';

const schema = z.strictObject({
  ...CaptionRequest.shape,
  ...AnswerRequest.shape,
  ...MatchRequest.shape,
  ...EmbeddingsRequest.shape,
});
const fields = (text: string) => fieldsFromForm(parseUrlEncoded(text), schema);

describe('texts become what their schema accepts', () => {
  it.each<[string, Record<string, unknown>]>([
    [
      'max_tokens=9&temperature=-.5&top_p=1e-1&seed=+7',
      { max_tokens: 9, temperature: -0.5, top_p: 0.1, seed: 7 },
    ],
    ['max_new_tokens=9&num_return_sequences=2', { max_new_tokens: 9, num_return_sequences: 2 }],
    ['stream=True', { stream: true }],
    ['stream=1&logprobs=off&do_sample=No', { stream: true, logprobs: false, do_sample: false }],
    ['stream=0&logprobs=on&do_sample=yes', { stream: false, logprobs: true, do_sample: true }],
    ['early_stopping=never', { early_stopping: 'never' }],
    ['early_stopping=FALSE', { early_stopping: false }],
    ['prompt=7&question=true&text=12', { prompt: '7', question: 'true', text: '12' }],
    ['max_tokens=&prompt=&stream=', { prompt: '', stream: '' }],
    ['max_tokens=many&stream=maybe&color=1', { max_tokens: 'many', stream: 'maybe', color: '1' }],
    ['prompt=a+dog%26%E2%82%AC&image=100%', { prompt: 'a dog&€', image: '100%' }],
    ['image=a+b/c&prompt=a+b', { image: 'a+b/c', prompt: 'a b' }],
    ['__proto__=1&toString=2', { ['__proto__']: '1', toString: '2' }],
  ])('%s', (text, expected) => {
    expect(Object.entries(fields(text))).toEqual(Object.entries(expected));
  });
});

describe('a list', () => {
  it.each<[string, Record<string, unknown>]>([
    ['texts=a&texts=b', { texts: ['a', 'b'] }],
    ['texts=a', { texts: ['a'] }],
    ['texts=7', { texts: ['7'] }],
    ['texts[]=a&texts[]=b', { texts: ['a', 'b'] }],
    ['texts%5B%5D=a', { texts: ['a'] }],
    ['texts[1]=b&texts[0]=a&texts[10]=c', { texts: ['a', 'b', 'c'] }],
    ['texts=["a", "b"]', { texts: ['a', 'b'] }],
    ['stop=a&stop=b', { stop: ['a', 'b'] }],
    ['stop=a', { stop: 'a' }],
    ['stop=["a"]', { stop: ['a'] }],
    ['stop=[', { stop: '[' }],
    ['text=a&text=b', { text: ['a', 'b'] }],
    [
      'history[0][question]=1&history[0][answer]=no&history[1][question]=b&history[1][answer]=c',
      {
        history: [
          { question: '1', answer: 'no' },
          { question: 'b', answer: 'c' },
        ],
      },
    ],
    ['history=[{"question": "a", "answer": "b"}]', { history: [{ question: 'a', answer: 'b' }] }],
    [
      'history[0].question=a&history[0].answer=b&history.1.question=c&history.1.answer=d',
      {
        history: [
          { question: 'a', answer: 'b' },
          { question: 'c', answer: 'd' },
        ],
      },
    ],
    ['image.url=https://a.example/b.png', { image: { url: 'https://a.example/b.png' } }],
    ['image[url]=https://a.example/b.png', { image: { url: 'https://a.example/b.png' } }],
    ['image={"sha256": "a"}', { image: { sha256: 'a' } }],
  ])('or an object may be written %s', (text, expected) => {
    expect(fields(text)).toEqual(expected);
  });
});

it.each(['constructor[prototype]=1', 'constructor=1&constructor=2', 'constructor.a=1'])(
  '%s is for the schema to refuse, by the name of the field',
  (text) => {
    expect(Object.keys(fields(text))).toEqual(['constructor']);
  },
);

it.each([
  ['seed=1&seed=2', /seed is given twice/],
  ['texts=[1', /^texts is not valid JSON/],
  ['texts=[cat] on a mat', /^texts is not valid JSON/],
  ['history=[{"question": "a"', /^history is not valid JSON/],
  ['=1', /A field has no name/],
  ['texts=a&texts[]=b', /texts is given twice/],
  ['texts[0]=a&texts[b]=c', /texts: is a list; name its entries/],
  ['history[0][question]=a&history[0][question]=b', /history.0.question is given twice/],
  ['question=caf%E9', /question: the text is not UTF-8: encode it so\.$/],
  ['history=[{"question": "a\\ud800", "answer": "b"}]', /0.question: has half of a surrogate pair/],
  [`${'x'.repeat(300)}=1`, /more than 256 characters/],
  ['a=1&'.repeat(1001), /more than 1000 fields/],
])('%s is refused', (text, detail) => {
  expect(() => fields(text)).toThrow(detail);
});

it('a form has the charset that it names', () => {
  expect(parseUrlEncoded('question=caf%E9', 'iso-8859-1')).toEqual([['question', 'café']]);
});
