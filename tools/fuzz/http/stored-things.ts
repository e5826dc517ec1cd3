/** Things that the service stores under ids of its own: inputs name them by marks, and so stay the same in every run. */
import { readImage, readScenes } from '../../scenes.ts';
import { Violation } from '../violation.ts';
import type { HttpInput } from './exchange.ts';

/** `lines` is a file with the lines of a batch, `upload` a file of the Replicate dialect. */
export type StoredKind = 'file' | 'lines' | 'upload' | 'job' | 'batch' | 'prediction';

/** Stands for the id in paths and bodies. */
export function markOf(kind: StoredKind): string {
  return `stored~${kind}~`;
}

const MARK = /stored~(file|lines|upload|job|batch|prediction)~/g;
const GONE = new Set([404, 410]);

/**
 * @example
 * const { input, kinds } = await things.resolve({ ...request, target: `/v1/jobs/${markOf('job')}` });
 * things.forget(kinds, status); // the next one gets another job where this one has been deleted
 */
export class StoredThings {
  readonly #url: string;
  readonly #ids = new Map<StoredKind, Promise<string>>();

  constructor(url: string) {
    this.#url = url;
  }

  /** The input with ids in place of marks, and what these are of. */
  async resolve(input: HttpInput): Promise<{ input: HttpInput; kinds: StoredKind[] }> {
    const body = Buffer.from(input.body).toString('latin1');
    const marked = [...`${input.target} ${body}`.matchAll(MARK)];
    const kinds = [...new Set(marked.map(([, kind]) => kind as StoredKind))];
    if (kinds.length === 0) return { input, kinds };
    const ids = new Map(
      await Promise.all(kinds.map(async (kind) => [kind, await this.#idOf(kind)] as const)),
    );
    const filled = (text: string) =>
      text.replaceAll(MARK, (_mark, kind) => ids.get(kind as StoredKind) ?? '');
    const bytes = new Uint8Array(Buffer.from(filled(body), 'latin1'));
    return { input: { ...input, target: filled(input.target), body: bytes }, kinds };
  }

  /** Others take the places of those that a reply with this status says are gone. */
  forget(kinds: readonly StoredKind[], status: number): void {
    if (GONE.has(status)) for (const kind of kinds) this.#ids.delete(kind);
  }

  #idOf(kind: StoredKind): Promise<string> {
    const known = this.#ids.get(kind);
    if (known !== undefined) return known;
    const id = this.#create(kind);
    this.#ids.set(kind, id);
    id.catch(() => this.#ids.delete(kind));
    return id;
  }

  async #create(kind: StoredKind): Promise<string> {
    switch (kind) {
      case 'file':
        return this.#upload('/v1/files', 'file', await imageFile(), { purpose: 'vision' });
      case 'upload':
        return this.#upload('/replicate/v1/files', 'content', await imageFile());
      case 'lines':
        return this.#upload('/v1/files', 'file', new Blob([LINES]), { purpose: 'batch' });
      case 'job':
        // One of its items fails: there is something to run again.
        return this.#post('/v1/jobs', {
          task: 'embeddings',
          items: [{ image: { data: await base64() } }, { image: { data: 'AAAA' } }],
        });
      case 'batch':
        return this.#post('/v1/batches', {
          input_file_id: await this.#idOf('lines'),
          endpoint: '/v1/embeddings',
          completion_window: '24h',
        });
      case 'prediction':
        return this.#post('/replicate/v1/predictions', {
          input: { image: `data:image/webp;base64,${await base64()}`, caption: true },
        });
    }
  }

  #upload(path: string, field: string, file: Blob, fields: Record<string, string> = {}) {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.set(name, value);
    form.set(field, file, 'stored');
    return this.#send(path, { body: form });
  }

  #post(path: string, value: unknown) {
    const headers = { 'content-type': 'application/json' };
    return this.#send(path, { headers, body: JSON.stringify(value) });
  }

  async #send(path: string, init: RequestInit): Promise<string> {
    const reply = await fetch(`${this.#url}${path}`, { method: 'POST', ...init });
    const text = await reply.text();
    if (!reply.ok) throw new Violation(`POST ${path} stores nothing: ${reply.status} ${text}`);
    return (JSON.parse(text) as { id: string }).id;
  }
}

const LINES = JSON.stringify({
  custom_id: 'one',
  method: 'POST',
  url: '/v1/embeddings',
  body: { model: 'blip2-scenes', input: 'a cow' },
});

async function imageBytes(): Promise<Uint8Array<ArrayBuffer>> {
  const [scene] = await readScenes();
  if (scene === undefined) throw new Error('There are no test scenes.');
  return readImage(scene);
}

async function imageFile(): Promise<Blob> {
  return new Blob([await imageBytes()], { type: 'image/webp' });
}

async function base64(): Promise<string> {
  return Buffer.from(await imageBytes()).toString('base64');
}
