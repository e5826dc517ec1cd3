/** Lines of whatever route are checked before a batch of any route is created. */
import { expect, it } from 'vitest';
import { readBatchInput } from './batch-input.ts';
import { temporaryFolder } from './temporary-folder.ts';

const LINE = { custom_id: 'one', method: 'POST', url: '/v1/captions', body: { image: 'a' } };

async function read(lines: readonly object[]) {
  using folder = await temporaryFolder();
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  async function* chunks() {
    yield Buffer.from(text);
  }
  return await readBatchInput(chunks(), { name: 'in.jsonl', folder: folder.path });
}

it('sorts lines by route', async () => {
  const answer = { ...LINE, custom_id: 'two', url: '/v1/answers' };
  const { order, files } = await read([LINE, answer, { ...LINE, custom_id: 'three' }]);
  expect(order.map(({ id }) => id)).toEqual(['one', 'two', 'three']);
  expect([...files].map(([url, { numbers }]) => [url, numbers])).toEqual([
    ['/v1/captions', [1, 3]],
    ['/v1/answers', [2]],
  ]);
});

it.each([
  ['url must be /v1/chat/completions, /v1/', { url: '/v1/completions' }],
  ['url must be ', { url: undefined }],
  ['method must be "POST".', { method: 'GET' }],
  ['custom_id must be ', { custom_id: '' }],
  ['custom_id must be ', { custom_id: 'x'.repeat(513) }],
  ['priority is no member of a line: a line is {"custom_id"', { priority: 1 }],
  ['a line is {"custom_id": ', { method: undefined, body: undefined }],
  ['body.stream must not be true', { body: { stream: true } }],
])('a line that is wrong is named: %s', async (words, members) => {
  await expect(read([LINE, { ...LINE, custom_id: 'two', ...members }])).rejects.toMatchObject({
    exitCode: 2,
    message: expect.stringContaining(`in.jsonl, line 2: ${words}`),
  });
});
