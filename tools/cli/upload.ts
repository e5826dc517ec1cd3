/** Uploads lines as a file of the service. */
import { openAsBlob } from 'node:fs';
import { OpenAiFile } from '@blip2/shared/schemas/openai/files';
import type { Api } from './api.ts';

const DAY_SECONDS = 86_400;

/**
 * Stores a file for a day: jobs read their lines as soon as they are created. It is read from the disk as it is sent.
 * @returns its id
 */
export async function upload(api: Api, path: string): Promise<string> {
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('expires_after[anchor]', 'created_at');
  form.set('expires_after[seconds]', String(DAY_SECONDS));
  form.set('file', await openAsBlob(path), 'lines.jsonl');
  return (await api.json(OpenAiFile, '/v1/files', { method: 'POST', body: form })).id;
}
