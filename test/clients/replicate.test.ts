/** Replicate's own client, unchanged, at the running service: run, poll, stream, cancel, files, lists, errors, what it sends again. */
import Replicate from 'replicate';
import { describe, expect, inject, it } from 'vitest';
import {
  CAPTION,
  imageBytes,
  imageUrl,
  LONG,
  MODEL,
  otherImageUrl,
  QUESTION,
  recordingFetch,
  untilAdmitted,
} from './service.ts';

const baseUrl = `${inject('edgeUrl')}/replicate/v1`;
const client = new Replicate({ auth: 'none', baseUrl });
const NAME = 'salesforce/blip-2';
const VERSION = '4b32258c42e9efd4288bb9910bc532a69727f9acd26aa08e175713a0a857a608';
const OTHER_VERSION = 'f677695e5e89f8b236e52ecd1d3f01beb44c34606419bcc19345e046d8f786f9';
const ask = { image: imageUrl, question: QUESTION };
let serial = 0;
/** An input that no other test has: the same within seconds is the same prediction. */
const fresh = <Input extends object>(input: Input) => ({ ...input, seed: ++serial });
const long = () => fresh({ image: imageUrl, caption: true, ...LONG });

/** The error that a call throws. */
async function errorOf(call: Promise<unknown>): Promise<Error & { response?: Response }> {
  const error = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Error);
  return error as Error & { response?: Response };
}

describe('run', () => {
  it.each([
    `${NAME}:${VERSION}`,
    `andreasjansson/blip-2:${OTHER_VERSION}`,
    'andreasjansson/blip-2',
    NAME,
    `blip2/${MODEL}`,
  ] as const)('%s answers with a text', async (ref) => {
    expect(await client.run(ref, { input: fresh(ask) })).toBe('a pizza');
  });

  it.each([
    ['a caption', { caption: true }, CAPTION],
    ['a caption where the question is empty', { question: '' }, CAPTION],
    [
      'what the page of that model sends',
      {
        caption: false,
        question: QUESTION,
        context: '',
        use_nucleus_sampling: false,
        temperature: 1,
      },
      'a pizza',
    ],
    ['beams', { question: QUESTION, num_beams: 4, max_new_tokens: 9 }, 'a pizza'],
  ])('writes %s', async (_name, input, output) => {
    expect(await client.run(NAME, { input: fresh({ image: imageUrl, ...input }) })).toBe(output);
  });

  it('samples', async () => {
    const input = { image: imageUrl, caption: true, use_nucleus_sampling: true, temperature: 0.5 };
    expect(await client.run(NAME, { input: fresh(input) })).toEqual(expect.any(String));
  });

  it.each([
    ['waiting', { mode: 'block' }],
    ['waiting for seconds', { mode: 'block', timeout: 20 }],
    ['polling', { mode: 'poll', interval: 20 }],
  ] as const)('works by %s, and reports progress', async (_name, wait) => {
    const { fetch, sent } = recordingFetch();
    const statuses: string[] = [];
    const output = await new Replicate({ auth: 'none', baseUrl, fetch }).run(
      NAME,
      { input: fresh(ask), wait },
      ({ status }) => statuses.push(status),
    );
    expect(output).toBe('a pizza');
    expect(statuses.at(-1)).toBe('succeeded');
    if (wait.mode === 'block') expect(sent.map(({ status }) => status)).toEqual([201]);
    else expect(statuses[0]).toBe('starting');
  });

  it('goes on by polling where the wait was too short', async () => {
    const { fetch, sent } = recordingFetch();
    const output = await new Replicate({ auth: 'none', baseUrl, fetch }).run(NAME, {
      input: { ...long(), min_tokens: 220, max_tokens: 220, num_beams: 8 },
      wait: { mode: 'block', timeout: 1 },
    });
    expect(String(output).length).toBeGreaterThan(100);
    expect(sent[0]?.headers.get('prefer')).toBe('wait=1');
    // A fast machine ends it within the second.
    expect([201, 202]).toContain(sent[0]?.status);
  });

  it('takes a Buffer, a Blob and a File, which it uploads first', async () => {
    const { fetch, sent } = recordingFetch();
    const uploading = new Replicate({ auth: 'none', baseUrl, fetch });
    const bytes = new Uint8Array(imageBytes);
    for (const image of [
      imageBytes,
      new Blob([bytes], { type: 'image/webp' }),
      new File([bytes], 'scene.webp'),
    ]) {
      const output = await uploading.run(NAME, { input: fresh({ image, question: QUESTION }) });
      expect(output).toBe('a pizza');
    }
    expect(sent.map(({ path, status }) => `${path} ${status}`)).toEqual(
      Array.from({ length: 3 }, () => [
        '/replicate/v1/files 201',
        '/replicate/v1/models/salesforce/blip-2/predictions 201',
      ]).flat(),
    );
  });

  it('ends the work when it is aborted', async () => {
    const controller = new AbortController();
    const running = client.run(NAME, {
      input: long(),
      wait: { mode: 'poll', interval: 20 },
      signal: controller.signal,
    });
    await untilAdmitted(1);
    controller.abort();
    expect(await running).toBeNull();
    await untilAdmitted(0);
  });

  it('throws what is wrong with an image that is found out later', async () => {
    const input = { image: 'http://127.0.0.1:1/a.png', caption: true };
    const error = await errorOf(client.run(NAME, { input }));
    expect(error.message).toContain('Prediction failed: ');
    expect(error.message).toContain('not public');
  });
});

describe('errors', () => {
  it.each<[string, () => Promise<unknown>, number, string]>([
    ['no image', () => client.run(NAME, { input: { question: 'a?' } }), 422, 'input.image'],
    ['an unknown input', () => client.run(NAME, { input: { ...ask, size: 1 } }), 422, 'size'],
    [
      'bytes as an object',
      () => client.run(NAME, { input: { image: new Uint8Array([1, 2, 3]) } }),
      422,
      'Buffer',
    ],
    ['another model', () => client.run('a/b', { input: ask }), 404, NAME],
    ['another version', () => client.run(`a/b:${'0'.repeat(64)}`, { input: ask }), 404, 'version'],
    [
      'a webhook',
      () => client.run(NAME, { input: ask, webhook: 'https://hook.example/' }),
      422,
      'urls.stream',
    ],
    ['no such prediction', () => client.predictions.get('x'), 404, 'prediction'],
    ['no such file', () => client.files.get('x'), 404, 'file'],
    [
      'a file that is no image',
      () => client.files.create(Buffer.from('text')),
      422,
      'not an image',
    ],
    ['no such route', () => client.hardware.list(), 404, 'route'],
  ])('%s is an ApiError that says what to do', async (_name, call, status, part) => {
    const { message, response } = await errorOf(call());
    expect(response?.status).toBe(status);
    const body = JSON.parse(message.slice(message.indexOf('{'), message.lastIndexOf('}') + 1));
    expect(body).toMatchObject({ title: expect.any(String), status });
    expect(body.detail).toContain(part);
  });

  it('its way of inlining files sends its key, which comes back to nobody', async () => {
    const inlining = new Replicate({
      auth: 'r8_secret',
      baseUrl,
      fileEncodingStrategy: 'data-uri' as never,
    });
    const { message } = await errorOf(inlining.run(NAME, { input: { image: imageBytes } }));
    expect(message).toContain('fileEncodingStrategy');
    expect(message).not.toContain('r8_secret');
  });

  it('what breaks off is sent again by it at once, and is one prediction', async () => {
    const ids: string[] = [];
    let left = 3;
    const breaking: typeof fetch = async (url, init) => {
      const response = await fetch(url, init);
      if (left-- <= 0) return response;
      ids.push(((await response.json()) as { id: string }).id);
      throw new TypeError('fetch failed: ECONNRESET');
    };
    const resending = new Replicate({ auth: 'none', baseUrl, fetch: breaking });
    const prediction = await resending.predictions.create({ model: NAME, input: fresh(ask) });
    expect(new Set([...ids, prediction.id]).size).toBe(1);
    expect(ids).toHaveLength(3);
  });
});

describe('predictions', () => {
  it('are created, read and waited for', async () => {
    for (const named of [{ model: NAME }, { version: VERSION }]) {
      const created = await client.predictions.create({ ...named, input: fresh(ask) });
      expect(created).toMatchObject({ status: 'starting', urls: { get: expect.any(String) } });
      const ended = await client.wait(created, { interval: 20 });
      expect(ended).toMatchObject({ id: created.id, status: 'succeeded', output: 'a pizza' });
      expect(await client.predictions.get(created.id)).toEqual(ended);
    }
  });

  it('are canceled, which ends the work', async () => {
    const { id } = await client.predictions.create({ model: NAME, input: long() });
    await untilAdmitted(1);
    expect(await client.predictions.cancel(id)).toMatchObject({ id, status: 'canceled' });
    await untilAdmitted(0);
    expect((await client.predictions.get(id)).status).toBe('canceled');
  });

  it('are listed', async () => {
    // Where no key is needed: an address may be that of many.
    expect(await client.predictions.list()).toEqual({ previous: null, next: null, results: [] });
    for await (const page of client.paginate(client.predictions.list)) expect(page).toEqual([]);
  });
});

describe('stream', () => {
  it('has the text in parts, and its end', async () => {
    const events: { event: string; data: string; id?: string | undefined }[] = [];
    for await (const event of client.stream(NAME, { input: fresh({ ...ask, caption: true }) })) {
      events.push(event);
    }
    expect(events.at(-1)).toMatchObject({ event: 'done', data: '{}' });
    const outputs = events.filter(({ event }) => event === 'output');
    expect(outputs.length).toBeGreaterThan(3);
    expect(outputs.map(String).join('')).toBe(CAPTION);
    expect(events.every(({ id }) => /^\d+$/.test(id ?? ''))).toBe(true);
  });

  it('is read by whoever has its address, late and without a key', async () => {
    const { urls } = await client.predictions.create({
      version: VERSION,
      input: fresh(ask),
      wait: true,
    });
    const text = await (await fetch(urls.stream ?? '')).text();
    expect([...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => data).join('')).toBe('a pizza{}');
  });

  it('throws what is wrong with the image', async () => {
    const input = { image: 'http://127.0.0.1:1/b.png', caption: true };
    const reading = (async () => {
      for await (const _ of client.stream(NAME, { input }));
    })();
    expect((await errorOf(reading)).message).toContain('not public');
  });

  it('ends the work when it is aborted', async () => {
    const controller = new AbortController();
    const reading = (async () => {
      for await (const { event } of client.stream(NAME, {
        input: long(),
        signal: controller.signal,
      })) {
        if (event === 'output') controller.abort();
      }
    })();
    await errorOf(reading);
    await untilAdmitted(0);
  });
});

it('files are uploaded, read, listed, used and deleted', async () => {
  const file = await client.files.create(imageBytes, { album: 7 });
  expect(file).toMatchObject({
    content_type: 'image/webp',
    size: imageBytes.length,
    metadata: { album: 7 },
  });
  expect(await client.files.get(file.id)).toEqual(file);
  expect((await client.files.list()).results).toEqual([]);
  expect(
    await client.run(NAME, { input: fresh({ image: file.urls.get, question: QUESTION }) }),
  ).toBe('a pizza');
  expect(await client.files.delete(file.id)).toBe(true);
  expect((await errorOf(client.files.get(file.id))).response?.status).toBe(404);
});

it('models, versions and the account are described', async () => {
  const { results } = await client.models.list();
  expect(results.map(({ owner, name }) => `${owner}/${name}`)).toEqual([
    `blip2/${MODEL}`,
    NAME,
    'andreasjansson/blip-2',
  ]);
  const model = await client.models.get('salesforce', 'blip-2');
  expect(model).toMatchObject({ owner: 'salesforce', name: 'blip-2', visibility: 'public' });
  const versions = (await client.models.versions.list('andreasjansson', 'blip-2')) as unknown as {
    results: { id: string }[];
  };
  expect(versions.results.map(({ id }) => id)).toEqual([model.latest_version?.id]);
  const version = await client.models.versions.get('andreasjansson', 'blip-2', OTHER_VERSION);
  expect(version).toMatchObject({
    id: OTHER_VERSION,
    cog_version: expect.any(String),
    openapi_schema: { components: { schemas: { Input: { required: ['image'] } } } },
  });
  expect(await client.accounts.current()).toMatchObject({ username: 'anonymous' });
});

it('many predictions at a time wait for their places', async () => {
  const all = await Promise.all(
    Array.from({ length: 24 }, (_, i) =>
      client.run(NAME, { input: fresh({ ...ask, image: i % 2 ? imageUrl : otherImageUrl }) }),
    ),
  );
  expect(all.every((text) => typeof text === 'string' && text !== '')).toBe(true);
});
