import { env as bindings } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { fileKey } from '../../jobs/job-index-contract.ts';
import { PART_BYTES } from '../../jobs/object-writer.ts';
import type { Env } from '../../platform.ts';
import { startEdge } from '../../testing/edge.ts';
import { storeKey } from '../../testing/keys.ts';

const { JOB_FILES: bucket } = bindings as unknown as Required<Env>;

/** Callers have addresses of their own. */
const from = (address: string) => ({ 'cf-connecting-ip': address });

function formOf(text: string | Uint8Array<ArrayBuffer>, fields: Record<string, string> = {}) {
  const form = new FormData();
  form.set('file', new File([text], 'lines.jsonl', { type: 'application/jsonl' }));
  for (const [name, value] of Object.entries({ purpose: 'batch', ...fields }))
    form.set(name, value);
  return form;
}

type Shown = { id: string; bytes: number; created_at: number; expires_at: number };

describe('a file', () => {
  it('is uploaded, read and deleted', async () => {
    const { post, request } = startEdge({ env: { CLIENT_ADDRESS_HEADER: 'none' } });
    const text = '{"custom_id":"1"}\n';
    const created = await post('/v1/files', formOf(text));
    expect(created.status).toBe(200);
    const file = (await created.json()) as Shown;
    expect(file).toMatchObject({
      object: 'file',
      bytes: text.length,
      filename: 'lines.jsonl',
      purpose: 'batch',
      status: 'processed',
    });
    expect(file.expires_at - file.created_at).toBe(2_592_000);
    expect(await (await request(`/v1/files/${file.id}`)).json()).toEqual(file);
    const content = await request(`/v1/files/${file.id}/content`, {
      headers: { accept: 'application/binary' },
    });
    expect(await content.text()).toBe(text);
    const deleted = await request(`/v1/files/${file.id}`, { method: 'DELETE' });
    expect(await deleted.json()).toEqual({ id: file.id, object: 'file', deleted: true });
    expect(await bucket.head(fileKey(file.id.slice(5)))).toBeNull();
    for (const path of [`/v1/files/${file.id}`, `/v1/files/${file.id}/content`]) {
      expect((await request(path)).status).toBe(404);
    }
  });

  it('expires when its sender says so', async () => {
    const { post } = startEdge();
    const fields = { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '3600' };
    const file = (await (await post('/v1/files', formOf('{}', fields))).json()) as Shown;
    expect(file.expires_at - file.created_at).toBe(3600);
  });

  it('is stored whole where it has several parts of an upload', async () => {
    const { post, request } = startEdge();
    const bytes = new Uint8Array(2 * PART_BYTES + 12_345);
    for (let at = 0; at < bytes.length; at += 997) bytes[at] = at % 251;
    const file = (await (await post('/v1/files', formOf(bytes))).json()) as Shown;
    expect(file.bytes).toBe(bytes.length);
    const content = await request(`/v1/files/${file.id}/content`);
    const read = new Uint8Array(await content.arrayBuffer());
    expect(read.length).toBe(bytes.length);
    expect(crypto.subtle.timingSafeEqual(read, bytes)).toBe(true);
  });

  it('is none when it has more bytes than are accepted', async () => {
    const { post } = startEdge({ env: { JOBS_MAX_FILE_BYTES: '1000' } });
    const before = (await bucket.list()).objects.length;
    const refused = await post('/v1/files', formOf('x'.repeat(1001)));
    expect(refused.status).toBe(413);
    expect(await refused.json()).toMatchObject({ error: { code: 'body_too_large' } });
    expect((await bucket.list()).objects.length).toBe(before);
  });

  it.each([
    ['another purpose', formOf('{}', { purpose: 'fine-tune' }), 'purpose'],
    ['no lines', formOf(''), 'file'],
    [
      'an expiry of a minute',
      formOf('{}', { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '60' }),
      'expires_after.seconds',
    ],
    ['a field that is none', formOf('{}', { purposes: 'x' }), 'purposes'],
  ])('is refused with %s, and leaves nothing behind', async (_, form, param) => {
    const { post, settled } = startEdge();
    const before = (await bucket.list()).objects.length;
    const refused = await post('/v1/files', form);
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: { param } });
    await settled();
    expect((await bucket.list()).objects.length).toBe(before);
  });

  it('is none when its upload breaks off', async () => {
    const { request, settled } = startEdge();
    const before = (await bucket.list()).objects.length;
    const head =
      '--x\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\n';
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(new TextEncoder().encode(head));
        controller.close();
      },
    });
    const headers = { 'content-type': 'multipart/form-data; boundary=x' };
    const cut = await request('/v1/files', { method: 'POST', headers, body });
    expect(await cut.json()).toMatchObject({ error: { code: 'invalid_multipart' } });
    await settled();
    expect((await bucket.list()).objects.length).toBe(before);
  });

  it('of many that come at once from one client is taken, where they are small', async () => {
    const { post } = startEdge();
    const all = await Promise.all(
      Array.from({ length: 20 }, () => post('/v1/files', formOf('{}'))),
    );
    expect(all.map(({ status }) => status)).toEqual(all.map(() => 200));
  });

  it('must be a form with a file', async () => {
    const { post } = startEdge();
    const form = new FormData();
    form.set('purpose', 'batch');
    const missing = await post('/v1/files', form);
    expect(await missing.json()).toMatchObject({ error: { param: 'file' } });
    expect((await post('/v1/files', { file: 'x' })).status).toBe(415);
  });
});

describe('files of a key', () => {
  it('are its own: another key finds and lists none of them, one of the same tenant does', async () => {
    const { post, request } = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
    const mine = await storeKey({ namespace: 'files-test' });
    const colleague = await storeKey({ namespace: 'files-test' });
    const other = await storeKey();
    const { id } = (await (await post('/v1/files', formOf('{}'), mine)).json()) as Shown;
    const statusOf = async (path: string, init: RequestInit) => (await request(path, init)).status;
    for (const path of [`/v1/files/${id}`, `/v1/files/${id}/content`]) {
      expect(await statusOf(path, { headers: other })).toBe(404);
      expect(await statusOf(path, { headers: colleague })).toBe(200);
    }
    expect(await statusOf(`/v1/files/${id}`, { method: 'DELETE', headers: other })).toBe(404);
    const listed = async (headers: Record<string, string>) =>
      ((await (await request('/v1/files', { headers })).json()) as { data: Shown[] }).data;
    expect((await listed(mine)).map((file) => file.id)).toEqual([id]);
    expect(await listed(other)).toEqual([]);
  });

  it('are listed by pages, the newest first or the oldest', async () => {
    const { post, request } = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
    const headers = await storeKey();
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      ids.push(((await (await post('/v1/files', formOf('{}'), headers)).json()) as Shown).id);
    }
    const page = async (query: string) =>
      (await request(`/v1/files?${query}`, { headers })).json() as Promise<{
        data: Shown[];
        has_more: boolean;
      }>;
    const idsOf = ({ data }: { data: Shown[] }) => data.map(({ id }) => id);
    const first = await page('limit=2');
    expect(idsOf(first)).toEqual([ids[2], ids[1]]);
    expect(first).toMatchObject({ first_id: ids[2], last_id: ids[1], has_more: true });
    const second = await page(`limit=2&after=${ids[1]}`);
    expect(idsOf(second)).toEqual([ids[0]]);
    expect(second.has_more).toBe(false);
    expect(idsOf(await page('order=asc'))).toEqual(ids);
    expect(idsOf(await page('purpose=vision'))).toEqual([]);
    const unknown = await request('/v1/files?after=file-1', { headers });
    expect(await unknown.json()).toMatchObject({ error: { param: 'after' } });
  });
});

describe('files of an address', () => {
  it('are stored for a day at most', async () => {
    const { post } = startEdge();
    const fields = { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '2000000' };
    const file = (await (
      await post('/v1/files', formOf('{}', fields), from('192.0.2.1'))
    ).json()) as Shown;
    expect(file.expires_at - file.created_at).toBe(86_400);
  });

  it('are for whoever has their ids, and are not listed', async () => {
    const { post, request } = startEdge();
    const { id } = (await (
      await post('/v1/files', formOf('{}'), from('192.0.2.1'))
    ).json()) as Shown;
    expect((await request(`/v1/files/${id}`, { headers: from('192.0.2.2') })).status).toBe(200);
    const listed = await request('/v1/files', { headers: from('192.0.2.1') });
    expect(await listed.json()).toMatchObject({ data: [], has_more: false });
  });

  it('are listed where the operator says that all callers are one', async () => {
    const { post, request } = startEdge({ env: { CLIENT_ADDRESS_HEADER: 'none' } });
    const { id } = (await (await post('/v1/files', formOf('{}'))).json()) as Shown;
    const list = (await (await request('/v1/files')).json()) as { data: Shown[] };
    expect(list.data.map((file) => file.id)).toContain(id);
  });
});
