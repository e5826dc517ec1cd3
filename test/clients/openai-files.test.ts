/** Files by OpenAI's own client, unchanged: uploaded, read, listed, deleted. */
import OpenAI, { APIError, toFile } from 'openai';
import { describe, expect, it } from 'vitest';
import { baseURL } from './service.ts';

const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
const LINE = `${JSON.stringify({ custom_id: 'one', method: 'POST', url: '/v1/embeddings', body: {} })}\n`;

describe('files', () => {
  it('are created, retrieved, read, listed and deleted', async () => {
    const file = await client.files.create({
      file: await toFile(Buffer.from(LINE), 'lines.jsonl'),
      purpose: 'batch',
      expires_after: { anchor: 'created_at', seconds: 3600 },
    });
    expect(file).toMatchObject({
      object: 'file',
      bytes: LINE.length,
      filename: 'lines.jsonl',
      purpose: 'batch',
      status: 'processed',
    });
    expect(file.expires_at! - file.created_at).toBe(3600);
    expect(await client.files.retrieve(file.id)).toMatchObject({ id: file.id });
    expect(await (await client.files.content(file.id)).text()).toBe(LINE);
    const ids: string[] = [];
    for await (const { id } of client.files.list({ limit: 1, purpose: 'batch' })) ids.push(id);
    expect(ids).toContain(file.id);
    expect(await client.files.delete(file.id)).toEqual({
      id: file.id,
      object: 'file',
      deleted: true,
    });
    const gone = await client.files.retrieve(file.id).catch((thrown: unknown) => thrown);
    expect(gone).toBeInstanceOf(APIError);
    expect(gone).toMatchObject({ status: 404, code: 'not_found' });
  });

  it('for anything but batches are refused in the form of OpenAI’s errors', async () => {
    const refused = await client.files
      .create({ file: await toFile(Buffer.from(LINE), 'lines.jsonl'), purpose: 'fine-tune' })
      .catch((thrown: unknown) => thrown);
    expect(refused).toMatchObject({ status: 400, param: 'purpose', code: 'invalid_request' });
  });
});
