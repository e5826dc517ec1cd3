/** Reading along with tests notices what the document does not say: else its silence would mean nothing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { type ApiDocument, type Reply, readerOf } from '../support/described-reply.ts';

let stack: Stack;
let read: (reply: Reply) => string[];
beforeAll(async () => {
  stack = await startStack();
  read = readerOf((await (await fetch(`${stack.url}/openapi.json`)).json()) as ApiDocument);
});
afterAll(() => stack?.stop());

const headers = {
  'x-request-id': 'test',
  'access-control-allow-origin': '*',
  'content-type': 'application/json',
};
const model = { id: 'blip2-scenes', object: 'model', created: 0, owned_by: 'blip2' };

function reply(
  change: Partial<Omit<Reply, 'headers'>> & { headers?: Record<string, string> } = {},
): Reply {
  return {
    method: 'GET',
    path: '/v1/models',
    status: 200,
    body: JSON.stringify({ object: 'list', data: [model] }),
    isWhole: true,
    ...change,
    headers: new Headers({ ...headers, ...change.headers }),
  };
}

const chat = (body: string): Reply =>
  reply({
    method: 'POST',
    path: '/v1/chat/completions',
    body,
    headers: { 'content-type': 'text/event-stream' },
  });
const chunk = {
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'blip2-scenes',
  system_fingerprint: 'x',
  choices: [{ index: 0, delta: { content: 'a' }, logprobs: null, finish_reason: null }],
};

describe('reading along', () => {
  it('finds nothing where all is described', () => {
    expect(read(reply())).toEqual([]);
    expect(read(reply({ path: '/v1/models/org/name', body: JSON.stringify(model) }))).toEqual([]);
    expect(read(chat(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`))).toEqual([]);
    expect(read(chat(`: ok\n\ndata: ${JSON.stringify(chunk)}\n\ndata: {"id"`))).toEqual([]);
  });

  it.each<[string, Reply]>([
    ['a status', reply({ status: 418 })],
    ['a path', reply({ path: '/v1/else' })],
    ['a media type', reply({ headers: { 'content-type': 'text/html' } })],
    ['a header', reply({ headers: { 'x-shape': '1, 2' } })],
    ['a member', reply({ body: JSON.stringify({ object: 'list', data: [], more: 1 }) })],
    [
      'a member of a member',
      reply({ body: JSON.stringify({ object: 'list', data: [{ ...model, more: 1 }] }) }),
    ],
    ['a missing member', reply({ body: JSON.stringify({ data: [model] }) })],
    ['an event', chat('data: {"choices": 1}\n\n')],
    ['an error of another form', reply({ status: 405, body: JSON.stringify({ detail: 'no' }) })],
  ])('finds %s that is not described', (_what, wrong) => {
    expect(read(wrong)).toHaveLength(1);
  });

  it('finds that the id of a request, or what pages of other origins need, is missing', () => {
    for (const name of ['x-request-id', 'access-control-allow-origin']) {
      const without = reply();
      without.headers.delete(name);
      expect(read(without)).toHaveLength(1);
    }
  });
});
