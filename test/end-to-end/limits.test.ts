/** Limits of keys as real clients meet them, at the running service. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createKey, type KeyLimits, keyName, SCOPES } from '@blip2/shared/api-key';
import type { UsageReply } from '@blip2/shared/schemas/usage';
import { InferenceClient, InferenceClientProviderApiError } from '@huggingface/inference';
import OpenAI, { RateLimitError } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { ROOT } from '../../tools/prepare-edge.ts';

const MODEL = 'blip2-scenes';
/** Options of a text that takes long: no end token comes before the last. */
const LONG = { min_tokens: 200, max_tokens: 200 };

let stack: Stack;
let image: Buffer<ArrayBuffer>;

beforeAll(async () => {
  image = await readFile(join(ROOT, 'test/scenes/pair-noto-00.webp'));
  stack = await startStack({ vars: { ALLOW_ANONYMOUS: '', REPLY_TTL_HOURS: '0' } });
});
afterAll(() => stack?.stop());

async function newKey(limits: KeyLimits): Promise<string> {
  const key = createKey();
  const record = { name: 'test', scopes: SCOPES, created_at: Date.now(), limits };
  const kv = await stack.kv('KEYS');
  await kv.put(await keyName(key), JSON.stringify(record));
  return key;
}

/** A client, and what it has sent. */
function clientOf(apiKey: string, maxRetries = 0) {
  const statuses: number[] = [];
  const client = new OpenAI({
    apiKey,
    baseURL: `${stack.url}/v1`,
    maxRetries,
    fetch: async (input, init) => {
      const response = await fetch(input, init);
      statuses.push(response.status);
      return response;
    },
  });
  return { client, statuses };
}

const asked = () => ({
  model: MODEL,
  messages: [
    {
      role: 'user' as const,
      content: [
        {
          type: 'image_url' as const,
          image_url: { url: `data:image/webp;base64,${image.toString('base64')}` },
        },
      ],
    },
  ],
});

async function rateLimitError(call: Promise<unknown>): Promise<RateLimitError> {
  const error: unknown = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(RateLimitError);
  return error as RateLimitError;
}

it("OpenAI's client gets a RateLimitError, and headers that say what is left", async () => {
  const { client } = clientOf(await newKey({ requests_per_minute: 2, tokens_per_minute: 10_000 }));
  const { response } = await client.chat.completions.create(asked()).withResponse();
  expect(response.headers.get('x-ratelimit-limit-requests')).toBe('2');
  expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('1');
  expect(Number(response.headers.get('x-ratelimit-remaining-tokens'))).toBeLessThan(10_000);
  await client.models.list();
  for (const stream of [false, true]) {
    const error = await rateLimitError(client.chat.completions.create({ ...asked(), stream }));
    expect(error).toMatchObject({ code: 'rate_limit_exceeded', type: 'rate_limit_error' });
    expect(error.message).toContain('This key may send 2 requests a minute');
    expect(Number(error.headers?.get('retry-after'))).toBeGreaterThan(0);
  }
});

it('counts exactly, however many come at once', async () => {
  const { client } = clientOf(await newKey({ requests_per_minute: 7 }));
  const calls = Array.from({ length: 20 }, () => client.models.list());
  const outcomes = await Promise.allSettled(calls);
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(7);
});

it('does not make a client send again that would have to wait for long', async () => {
  const { client, statuses } = clientOf(await newKey({ images_per_day: 1 }), 2);
  const embed = async (scene: string) => {
    const bytes = await readFile(join(ROOT, `test/scenes/${scene}.webp`));
    const input = `data:image/webp;base64,${bytes.toString('base64')}`;
    return await client.embeddings.create({ model: MODEL, input });
  };
  await embed('count-noto-07');
  await rateLimitError(embed('count-noto-08'));
  // The one that is cached costs none.
  await embed('count-noto-07');
  expect(statuses).toEqual([200, 429, 200]);
});

it('is met once by the client of Hugging Face', async () => {
  const key = await newKey({ requests_per_minute: 1 });
  const { client } = clientOf(key);
  await client.models.list();
  const hub = new InferenceClient(key);
  const call = hub.imageToText({
    data: new Blob([image]),
    endpointUrl: `${stack.url}/hf/image-to-text`,
  });
  const error: unknown = await call.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InferenceClientProviderApiError);
  expect(error).toMatchObject({ httpResponse: { status: 429 } });
});

it('frees the place of a stream whose client is gone, and the retry of another gets it', async () => {
  const key = await newKey({ open_streams: 1 });
  const { client } = clientOf(key);
  const leaving = new AbortController();
  const { signal } = leaving;
  const first = await client.chat.completions.create(
    { ...asked(), stream: true, n: 8, ...LONG },
    { signal },
  );
  await first[Symbol.asyncIterator]().next();
  const error = await rateLimitError(client.chat.completions.create({ ...asked(), stream: true }));
  expect(error.headers?.get('retry-after-ms')).toBe('1000');
  const usage = await client.get<UsageReply>('/usage');
  expect(usage.limits.open_streams).toMatchObject({ limit: 1, remaining: 0 });

  const { client: patient, statuses } = clientOf(key, 5);
  const second = patient.chat.completions.create({ ...asked(), stream: true });
  await expect.poll(() => statuses, { timeout: 20_000 }).toEqual([429]);
  leaving.abort();
  let text = '';
  for await (const { choices } of await second) text += choices[0]?.delta.content ?? '';
  expect(text).toContain('pizza');
  expect(statuses.at(-1)).toBe(200);
});

it('tells what was used', async () => {
  const key = await newKey({});
  const { client } = clientOf(key);
  const { usage } = await client.chat.completions.create(asked());
  await expect
    .poll(async () => (await client.get<UsageReply>('/usage')).days)
    .toEqual([
      {
        date: new Date().toISOString().slice(0, 10),
        requests: 1,
        prompt_tokens: usage?.prompt_tokens,
        completion_tokens: usage?.completion_tokens,
        images: expect.any(Number),
      },
    ]);
});
