/** One call of each kind, and what its caller sees: a right answer, an error in words, a broken connection, or nothing. */
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { hashOf, type KnownScene, LONG, withComment } from './known.ts';
import type { Random } from './random.ts';

/** What the caller of one call saw. */
export type Outcome = {
  /** `200`, `503 overloaded`, `event worker-unavailable`, `cut off`, … */
  label: string;
  isWrong: boolean;
  /** Neither an answer nor an error, or something that had been stored and is gone. */
  isLost: boolean;
  detail?: string;
};

type Call = (url: string, scene: KnownScene, random: Random) => Promise<Outcome>;

/** More than the deadline of a request, and time for its end. */
const NO_ANSWER_MS = 45_000;

const right: Outcome = { label: '200', isWrong: false, isLost: false };
const failed = (label: string): Outcome => ({ label, isWrong: false, isLost: false });
const compared = (actual: string, known: string): Outcome =>
  actual === known ? right : { ...right, isWrong: true, detail: `"${actual}" for "${known}"` };

/** A caption of an upload. */
const caption: Call = (url, scene, random) =>
  exchange(`${url}/v1/captions`, upload(scene, random), async (response) => {
    const reply = (await response.json()) as { caption: string };
    return compared(reply.caption, scene.caption);
  });

/** A stream about an upload. */
const stream: Call = (url, scene, random) =>
  exchange(`${url}/v1/captions?stream=true`, upload(scene, random), (response) =>
    readStream(response, scene.caption),
  );

/** A long stream about an image that is known by its hash. */
const long: Call = (url, { sha256, long: text }) =>
  exchange(`${url}/v1/captions`, json({ image: { sha256 }, stream: true, ...LONG }), (response) =>
    readStream(response, text),
  );

/** A question about an image that is known by its hash. */
const question: Call = (url, scene) => {
  const { sha256, question: asked, answer: known } = scene;
  return exchange(
    `${url}/v1/answers`,
    json({ image: { sha256 }, question: asked }),
    async (response) => compared(((await response.json()) as { answer: string }).answer, known),
  );
};

const NPY = 'application/x-npy';

/** Embeddings of an upload. */
const embed: Call = (url, scene, random) =>
  exchange(`${url}/v1/embeddings`, upload(scene, random, NPY), (response) =>
    readNpy(response, scene),
  );

/** Embeddings by hash. */
const lookup: Call = (url, scene) => {
  const headers = { accept: NPY };
  return exchange(`${url}/v1/embeddings/${scene.sha256}`, { headers }, (response) =>
    readNpy(response, scene),
  );
};

export const CALLS = { caption, stream, long, question, embed, lookup } as const;

/** A reply of before would need no GPU worker, which is what fails here. */
const MADE_NOW = { 'cache-control': 'no-cache' };

function upload({ png }: KnownScene, random: Random, accept = '*/*'): RequestInit {
  const headers = { 'content-type': 'image/png', accept, ...MADE_NOW };
  return { method: 'POST', headers, body: withComment(png, random) };
}

function json(body: unknown): RequestInit {
  const headers = { 'content-type': 'application/json', ...MADE_NOW };
  return { method: 'POST', headers, body: JSON.stringify(body) };
}

async function exchange(
  url: string,
  init: RequestInit,
  read: (response: Response) => Promise<Outcome>,
): Promise<Outcome> {
  const signal = AbortSignal.timeout(NO_ANSWER_MS);
  let hasBegun = false;
  try {
    const response = await fetch(url, { ...init, signal });
    hasBegun = true;
    if (response.ok) return await read(response);
    const problem = (await response.json().catch(() => ({}))) as { type?: string };
    const slug = problem.type?.split('/').at(-1) ?? 'without a problem';
    // What is asked for by hash was stored before anything broke.
    return { ...failed(`${response.status} ${slug}`), isLost: slug === 'unknown-image' };
  } catch (error) {
    if (signal.aborted) return { ...failed('no answer'), isLost: true };
    if (error instanceof SyntaxError) {
      return { ...right, isWrong: true, detail: 'a reply that is no JSON' };
    }
    return failed(hasBegun ? 'cut off' : 'connection failed');
  }
}

/** Every delta has to be the next part of the known text. */
async function readStream(response: Response, known: string): Promise<Outcome> {
  let text = '';
  const events = (response.body as ReadableStream<Uint8Array>)
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const { event, data } of events) {
    const value = JSON.parse(data) as { text?: string; type?: string };
    if (event === 'error') return failed(`event ${value.type?.split('/').at(-1)}`);
    if (event === 'token') text += value.text;
    if (!known.startsWith(text.trimStart())) return compared(text, known);
    if (event === 'done') return compared(value.text ?? '', known);
  }
  return { ...failed('ended without an end'), isLost: true };
}

async function readNpy(response: Response, { embeddings }: KnownScene): Promise<Outcome> {
  return compared(hashOf(new Uint8Array(await response.arrayBuffer())), embeddings);
}
