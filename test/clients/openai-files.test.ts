/** Files by OpenAI's own client, unchanged: uploaded, read, listed, deleted. */
import OpenAI, { APIError, toFile } from 'openai';
import { describe, expect, it } from 'vitest';
import { baseURL, imageBytes, MODEL, QUESTION } from './service.ts';

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

  it.each(['vision', 'user_data'] as const)(
    'of an image, for %s, are named in conversations',
    async (purpose) => {
      const { id } = await client.files.create({
        file: await toFile(imageBytes, 'pair.webp', { type: 'image/webp' }),
        purpose,
      });
      const chat = await client.chat.completions.create({
        model: MODEL,
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: QUESTION },
              { type: 'file', file: { file_id: id } },
            ],
          },
        ],
      });
      expect(chat.choices[0]?.message.content).toBe('a pizza');
      for (const part of [
        { type: 'input_image', file_id: id, detail: 'auto' },
        { type: 'input_file', file_id: id },
      ] as const) {
        const response = await client.responses.create({
          model: MODEL,
          input: [{ role: 'user', content: [{ type: 'input_text', text: QUESTION }, part] }],
        });
        expect(response.output_text).toBe('a pizza');
      }
      await client.files.delete(id);
      const gone = await client.responses
        .create({
          model: MODEL,
          input: [
            { role: 'user', content: [{ type: 'input_image', file_id: id, detail: 'auto' }] },
          ],
        })
        .catch((thrown: unknown) => thrown);
      expect(gone).toMatchObject({ status: 404, param: 'input.0.content.0.file_id' });
    },
  );

  it('for anything but batches and images are refused in the form of OpenAI’s errors', async () => {
    const refused = await client.files
      .create({ file: await toFile(Buffer.from(LINE), 'lines.jsonl'), purpose: 'fine-tune' })
      .catch((thrown: unknown) => thrown);
    expect(refused).toMatchObject({ status: 400, param: 'purpose', code: 'invalid_request' });
  });
});
