/** The running service as the tests of clients see it: its address, an image that it knows well, and its load. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, inject } from 'vitest';

export const baseURL = `${inject('edgeUrl')}/v1`;
/** Base of the endpoints of Hugging Face's clients. */
export const hubURL = `${inject('edgeUrl')}/hf`;
export const MODEL = 'blip2-scenes';

const scene = (name: string) =>
  readFile(fileURLToPath(new URL(`../scenes/${name}.webp`, import.meta.url)));
const toDataUrl = (bytes: Uint8Array) =>
  `data:image/webp;base64,${Buffer.from(bytes).toString('base64')}`;

/** A pizza above an octopus on a gray background. */
export const imageBytes = await scene('pair-noto-00');
export const imageUrl = toDataUrl(imageBytes);
/** Another scene. */
export const otherImageUrl = toDataUrl(await scene('count-fluent-emoji-flat-00'));

export const QUESTION = 'what is above the octopus?';
export const CAPTION = 'a pizza above an octopus on a gray background';

/** Options of a text that takes long: no end token comes before the last. */
export const LONG = { min_tokens: 200, max_tokens: 200 };

async function admitted(): Promise<number> {
  const metrics = await (await fetch(`${inject('workerUrl')}/metrics`)).text();
  return Number(/^blip2_num_requests_admitted\S* (\d+)/m.exec(metrics)?.[1]);
}

/** Waits until the GPU worker has so many requests under way. */
export async function untilAdmitted(count: number): Promise<void> {
  await expect.poll(admitted, { timeout: 20_000, interval: 10 }).toBe(count);
}

/** Requests under way that one caller may have: half of the slots and of the queue. */
const SHARE = 8;

/** Takes places, all that one caller may have if nothing else is said, with texts that take seconds, until it is disposed. */
export async function fillPlaces(count = SHARE): Promise<AsyncDisposable> {
  const controller = new AbortController();
  const content = [{ type: 'image_url', image_url: { url: imageUrl } }];
  const messages = [{ role: 'user', content }];
  const body = JSON.stringify({ model: MODEL, messages, stream: true, n: 8, ...LONG });
  const { signal } = controller;
  const url = `${baseURL}/chat/completions`;
  // Where one ends on a fast machine, another takes its place.
  const hold = async () => {
    while (!signal.aborted) await (await fetch(url, { method: 'POST', body, signal })).text();
  };
  for (let i = 0; i < count; i++) hold().catch(() => {});
  await untilAdmitted(count);
  return {
    [Symbol.asyncDispose]: async () => {
      controller.abort();
      await untilAdmitted(0);
    },
  };
}

export type SentRequest = { path: string; headers: Headers; status: number };

/** A `fetch` for clients that take one, which only writes down what was sent once there is a reply. */
export function recordingFetch(): { fetch: typeof fetch; sent: SentRequest[] } {
  const sent: SentRequest[] = [];
  return {
    sent,
    fetch: async (input, init) => {
      const response = await fetch(input, init);
      const { headers } = new Request(input, { ...init, body: null });
      sent.push({ path: new URL(response.url).pathname, headers, status: response.status });
      return response;
    },
  };
}

/** Similarity of two unit vectors. */
export function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? Number.NaN), 0);
}
