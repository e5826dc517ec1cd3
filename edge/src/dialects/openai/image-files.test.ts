/** Images that are uploaded to `/v1/files` and named by conversations, in workerd with real R2 and Durable Objects. */
import { env as bindings } from 'cloudflare:workers';
import { ApiError } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import { beforeEach, describe, expect, it } from 'vitest';
import { fileKey } from '../../jobs/job-index-contract.ts';
import type { Env } from '../../platform.ts';
import { newImage, startEdge, type TestEdge } from '../../testing/edge.ts';
import { storeKey } from '../../testing/keys.ts';
import { generative } from '../../testing/models.ts';

const { JOB_FILES: bucket } = bindings as unknown as Required<Env>;
const model = generative.name;

type Headers = Record<string, string>;
type Shown = { id: string; purpose: string; bytes: number };

let edge: TestEdge;
let headers: Headers;
beforeEach(async () => {
  edge = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
  headers = await storeKey();
});

function formOf(content: Uint8Array<ArrayBuffer> | string, purpose = 'vision') {
  const form = new FormData();
  form.set('file', new File([content], 'a.png'));
  form.set('purpose', purpose);
  return form;
}

async function upload(content: Uint8Array<ArrayBuffer> | string, purpose = 'vision', more = {}) {
  const reply = await edge.post('/v1/files', formOf(content, purpose), { ...headers, ...more });
  expect(reply.status, await reply.clone().text()).toBe(200);
  return (await reply.json()) as Shown;
}

/** By name: a request whose image is that file, and the member that names it. */
const FORMS: [string, string, (file_id: string) => object, string][] = [
  [
    'a part of a chat',
    '/v1/chat/completions',
    (file_id) => ({
      model,
      messages: [{ role: 'user', content: [{ type: 'file', file: { file_id } }] }],
    }),
    'messages.0.content.0.file.file_id',
  ],
  [
    'an image of Responses',
    '/v1/responses',
    (file_id) => ({
      model,
      input: [{ role: 'user', content: [{ type: 'input_image', file_id, image_url: null }] }],
    }),
    'input.0.content.0.file_id',
  ],
  [
    'a file of Responses',
    '/v1/responses',
    (file_id) => ({ model, input: [{ role: 'user', content: [{ type: 'input_file', file_id }] }] }),
    'input.0.content.0.file_id',
  ],
];

describe.each(FORMS)('%s', (_, path, naming, param) => {
  it.each(['vision', 'user_data'])('is a file that was uploaded for %s', async (purpose) => {
    const image = newImage();
    const file = await upload(image, purpose);
    expect(file).toMatchObject({ purpose, bytes: image.length });
    const reply = await edge.post(path, naming(file.id), headers);
    expect(reply.status, await reply.clone().text()).toBe(200);
    expect(edge.gpu.received[0]).toMatchObject({ with: 'image' });
    expect(new Uint8Array(edge.gpu.received[0]?.payload ?? [])).toEqual(image);
  });

  it('is none of another key, and none that was deleted or never was', async () => {
    const { id } = await upload(newImage());
    const other = await storeKey();
    await edge.request(`/v1/files/${(await upload(newImage())).id}`, { method: 'DELETE', headers });
    const deleted = await upload(newImage());
    await edge.request(`/v1/files/${deleted.id}`, { method: 'DELETE', headers });
    for (const [file, who] of [
      [id, other],
      [deleted.id, headers],
      ['file-1', headers],
    ] as const) {
      const reply = await edge.post(path, naming(file), who);
      expect([reply.status, await reply.json()]).toMatchObject([404, { error: { param } }]);
    }
    expect(edge.gpu.received).toEqual([]);
  });

  it('is refused by the field that names it where the decoder refuses it', async () => {
    const { id } = await upload(newImage());
    edge.gpu.script.refuse = new ApiError('invalid-image', 'The image is damaged.', {
      field: 'image',
    });
    const reply = await edge.post(path, naming(id), headers);
    const error = { param, code: 'invalid_image', message: 'The image is damaged.' };
    expect([reply.status, await reply.json()]).toMatchObject([400, { error }]);
  });

  it('is no file of lines', async () => {
    const { id } = await upload('{}\n', 'batch');
    const reply = await edge.post(path, naming(id), headers);
    const error = { param, code: 'no_image', message: expect.stringContaining('purpose vision') };
    expect([reply.status, await reply.json()]).toMatchObject([400, { error }]);
  });
});

it('a part names one image, in one way', async () => {
  const url = 'https://images.test/a.png';
  for (const [part, code] of [
    [{ type: 'input_image', image_url: url, file_id: 'file-1' }, 'several_images'],
    [{ type: 'input_image' }, 'no_image'],
    [{ type: 'input_file', filename: 'a.png' }, 'no_image'],
  ] as const) {
    const reply = await edge.post(
      '/v1/responses',
      { model, input: [{ role: 'user', content: [part] }] },
      headers,
    );
    const error = { code, param: 'input.0.content.0' };
    expect([reply.status, await reply.json()]).toMatchObject([400, { error }]);
  }
});

it('an image may be in the part of a file itself', async () => {
  const image = newImage();
  const file = { file_data: `data:image/png;base64,${image.toBase64()}`, filename: 'a.png' };
  const messages = [{ role: 'user', content: [{ type: 'file', file }] }];
  expect((await edge.post('/v1/chat/completions', { model, messages }, headers)).status).toBe(200);
  expect(new Uint8Array(edge.gpu.received[0]?.payload ?? [])).toEqual(image);
});

it.each<[string, Uint8Array<ArrayBuffer> | string, number, string]>([
  ['a text', 'no image at all', 400, 'invalid_image'],
  ['half an image', newImage(600).slice(0, 300), 400, 'invalid_image'],
  ['a PDF', '%PDF-1.7\n', 415, 'unsupported_media_type'],
  ['too many bytes', newImage(2000), 413, 'body_too_large'],
])('%s is not stored as an image', async (_, content, status, code) => {
  edge = startEdge({ env: { ALLOW_ANONYMOUS: '', MAX_IMAGE_BYTES: '1000' } });
  const before = (await bucket.list()).objects.length;
  const reply = await edge.post('/v1/files', formOf(content), headers);
  expect([reply.status, await reply.json()]).toMatchObject([
    status,
    { error: { code, param: 'file' } },
  ]);
  await edge.settled();
  expect((await bucket.list()).objects.length).toBe(before);
});

it('files are listed by their purpose', async () => {
  const ids = { vision: await upload(newImage()), batch: await upload('{}\n', 'batch') };
  for (const [query, expected] of [
    ['purpose=vision', [ids.vision.id]],
    ['purpose=batch', [ids.batch.id]],
    ['purpose=user_data', []],
    ['purpose=batch_output', []],
    ['', [ids.batch.id, ids.vision.id]],
  ] as const) {
    const list = (await (await edge.request(`/v1/files?${query}`, { headers })).json()) as {
      data: Shown[];
    };
    expect(list.data.map(({ id }) => id)).toEqual(expected);
  }
});

it('an image is no lines of a batch or a job', async () => {
  const { id } = await upload(newImage());
  const batch = { input_file_id: id, endpoint: '/v1/chat/completions', completion_window: '24h' };
  const refused = await edge.post('/v1/batches', batch, headers);
  expect([refused.status, await refused.json()]).toMatchObject([
    400,
    { error: { param: 'input_file_id' } },
  ]);
  const job = await edge.post('/v1/jobs', { task: 'caption', input: { file_id: id } }, headers);
  expect([job.status, await job.json()]).toMatchObject([400, { field: 'input.file_id' }]);
});

it('files that are a deleted image are deleted with it, whatever their purpose, and no others', async () => {
  const image = newImage();
  const same = [
    await upload(image),
    await upload(image, 'user_data'),
    await upload(image, 'batch'),
  ];
  const other = await upload(newImage());
  const path = `/v1/images/${await imageIdOf(image)}`;
  const full = await storeKey();
  expect((await edge.request(path, { method: 'DELETE', headers: full })).status).toBe(204);
  // Those of another key are its own.
  expect((await edge.request(`/v1/files/${same[0]?.id}`, { headers })).status).toBe(200);
  expect((await edge.request(path, { method: 'DELETE', headers })).status).toBe(204);
  for (const { id } of same) {
    expect((await edge.request(`/v1/files/${id}`, { headers })).status).toBe(404);
    expect(await bucket.head(fileKey(id.slice(5)))).toBeNull();
  }
  expect((await edge.request(`/v1/files/${other.id}/content`, { headers })).status).toBe(200);
});

describe('an upload with an Idempotency-Key', () => {
  const listed = async () =>
    ((await (await edge.request('/v1/files', { headers })).json()) as { data: Shown[] }).data;

  it('is stored once, whatever the boundary of its form', async () => {
    const image = newImage();
    const key = { 'idempotency-key': crypto.randomUUID() };
    const [first, second] = [
      await upload(image, 'vision', key),
      await upload(image, 'vision', key),
    ];
    expect(second).toEqual(first);
    expect(await listed()).toHaveLength(1);
  });

  it('is another file with another key, and an error with other bytes or another purpose', async () => {
    const key = { 'idempotency-key': crypto.randomUUID() };
    const image = newImage();
    await upload(image, 'vision', key);
    for (const form of [formOf(newImage()), formOf(image, 'user_data')]) {
      const reply = await edge.post('/v1/files', form, { ...headers, ...key });
      const error = { code: 'idempotency_key_reused' };
      expect([reply.status, await reply.json()]).toMatchObject([422, { error }]);
    }
    await upload(image, 'vision', { 'idempotency-key': crypto.randomUUID() });
    expect(await listed()).toHaveLength(2);
  });

  it('may have more bytes than other requests', async () => {
    edge = startEdge({
      env: { ALLOW_ANONYMOUS: '', MAX_BODY_BYTES: '1000', MAX_IMAGE_BYTES: '1000' },
    });
    const key = { 'idempotency-key': crypto.randomUUID() };
    const lines = '{"custom_id":"1"}\n'.repeat(1000);
    expect(await upload(lines, 'batch', key)).toEqual(await upload(lines, 'batch', key));
  });
});
