/** `blip2 caption` and `blip2 ask`: one image at a time, its text as it comes. */
import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { Problem } from '@blip2/shared/errors';
import { sniff } from '@blip2/shared/image-format';
import { DoneEvent, TokenEvent } from '@blip2/shared/schemas/events';
import type { Warning } from '@blip2/shared/schemas/generation';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import type { Api } from './api.ts';
import { CliError, EXIT, wordsOf } from './failure.ts';

type ImageOfRequest = { data: string } | { url: string };

/** @param source path, URL, or `-` for standard input. @throws CliError where it is no image */
export async function imageOf(source: string): Promise<ImageOfRequest> {
  if (/^https?:\/\//i.test(source)) return { url: source };
  const bytes =
    source === '-'
      ? await buffer(process.stdin)
      : await readFile(source).catch((error: NodeJS.ErrnoException) => {
          throw new CliError(whyUnread(source, error));
        });
  const kind = sniff(bytes);
  if (kind.kind === 'image') return { data: bytes.toString('base64') };
  const what = kind.kind === 'unknown' ? 'no image' : `${kind.name}. ${kind.remedy}`;
  throw new CliError(`${source} is ${what}`);
}

function whyUnread(source: string, { code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return `There is no file ${source}.`;
  if (code === 'EISDIR') return `${source} is a folder: blip2 jobs create takes folders.`;
  return `${source} cannot be read: ${message}.`;
}

/** The whole reply. */
export async function replyTo(api: Api, path: string, body: object): Promise<unknown> {
  return await (await post(api, path, body, 'application/json')).json();
}

/**
 * Deltas of the text, as they come; where there are several texts, each of them when all are there.
 * @param onWarning called before the end with each reason not to rely on the text
 * @throws CliError, also in the middle
 */
export async function* textOf(
  api: Api,
  path: string,
  body: object,
  onWarning: (warning: Warning) => void,
): AsyncGenerator<string, void, undefined> {
  const isOne = !('n' in body) || body.n === 1;
  const reply = await post(api, path, { ...body, stream: true }, 'text/event-stream');
  const events = (reply.body ?? new ReadableStream<Uint8Array<ArrayBuffer>>())
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const { event, data } of events) {
    const value: unknown = JSON.parse(data);
    if (event === 'token' && isOne) yield TokenEvent.parse(value).text;
    if (event === 'error') throw new CliError(wordsOf(Problem.parse(value)), EXIT.refused);
    if (event !== 'done') continue;
    const { choices = [], warnings = [] } = DoneEvent.parse(value);
    if (!isOne) yield choices.map(({ text }) => text).join('\n');
    warnings.forEach(onWarning);
    return;
  }
  throw new CliError('The reply broke off.', EXIT.unreachable);
}

async function post(api: Api, path: string, body: object, accept: string): Promise<Response> {
  const headers = { 'content-type': 'application/json', accept };
  return await api.request(path, { method: 'POST', headers, body: JSON.stringify(body) });
}
