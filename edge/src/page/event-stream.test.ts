import { expect, it } from 'vitest';
import { EventStream } from './event-stream.ts';

const TEXT =
  ': \n\nevent: token\ndata: {"text":"a: b"}\n\n: \n\nevent: done\ndata: {"n":1}\n\nevent: to';

it.each([1, 2, 7, TEXT.length])('reads events from pieces of %i characters', (size) => {
  const stream = new EventStream();
  const pieces = TEXT.match(new RegExp(`.{1,${size}}`, 'gs')) ?? [];
  expect(pieces.flatMap((piece) => stream.push(piece))).toEqual([
    { event: 'token', data: { text: 'a: b' } },
    { event: 'done', data: { n: 1 } },
  ]);
});
