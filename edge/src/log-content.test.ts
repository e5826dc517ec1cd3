/** The log of the edge: what goes wrong is in it, and nothing of what is asked or answered. */
import { ApiError } from '@blip2/shared/errors';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { base64, newImage, startEdge, type TestEdge } from './testing/edge.ts';

const QUESTION = 'xyzzy-question';
const ANSWER = 'plugh-answer';

let lines: string[];
let edge: TestEdge;
beforeEach(() => {
  lines = [];
  for (const level of ['log', 'info', 'warn', 'error', 'debug'] as const) {
    vi.spyOn(console, level).mockImplementation((...parts) => void lines.push(parts.join(' ')));
  }
  edge = startEdge();
  edge.gpu.script.text = ` ${ANSWER}`;
});
afterEach(() => vi.restoreAllMocks());

it.each<[string, (edge: TestEdge) => void]>([
  [
    'no GPU worker',
    ({ gpu }) => {
      gpu.script.isGone = true;
    },
  ],
  [
    'one that breaks off',
    ({ gpu }) => {
      gpu.script.breakOff = true;
    },
  ],
  [
    'one that sends something else',
    ({ gpu }) => {
      gpu.script.raw = new TextEncoder().encode(ANSWER.repeat(99));
    },
  ],
  [
    'one with a fault',
    ({ gpu }) => {
      gpu.script.refuse = new ApiError('internal-error', 'no');
    },
  ],
])('says of %s what went wrong, and nothing of the request', async (_, arrange) => {
  arrange(edge);
  const bytes = newImage();
  const data = base64(bytes);
  const asked = await edge.post('/v1/answers', { image: { data }, question: QUESTION });
  await asked.text();
  const streamed = await edge.post('/v1/captions?stream=true', bytes, {
    'content-type': 'image/png',
  });
  await streamed.text().catch(() => {});
  await edge.settled();
  const log = lines.join('\n');
  expect(log).toMatch(/"event":"problem","request_id":"[\w-]+","slug":"/);
  expect(log).not.toContain(QUESTION);
  expect(log).not.toContain(ANSWER);
  expect(log).not.toContain(data.slice(0, 40));
});

it('says nothing of what callers do wrong', async () => {
  const headers = { 'content-type': 'application/json' };
  const wrong = [
    edge.request('/v1/answers', { method: 'POST', body: `{"question": "${QUESTION}`, headers }),
    edge.post('/v1/answers', { image: { data: QUESTION }, question: QUESTION }),
    edge.post('/v1/answers', { image: { data: base64(newImage()) }, question: [QUESTION] }),
  ];
  for (const reply of wrong) expect((await reply).status).toBe(400);
  expect(lines).toEqual([]);
});
