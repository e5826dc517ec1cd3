/** Asks the API about an image: by its id where that suffices, with the image itself where it does not. */
import { checkFile } from './check-file.ts';
import { Failure } from './failure.ts';
import { type ChosenImage, requestBody } from './images.ts';
import { type ReplyEvent, send } from './transport.ts';
import type { TurnState } from './turn-view.ts';

export type Turn = { question: string; answer: string };

export type RequestedImage = {
  chosen: ChosenImage;
  /** Image id, once the service has said it. */
  sha256: string | null;
  maxFileBytes: number;
};

export type Reports = {
  signal: AbortSignal;
  onState: (state: TurnState) => void;
  /** Called when an image's file is sent, with the milliseconds that it took. */
  onUploaded: (uploadMs: number) => void;
};

/** Problems of a request that only names the image's id, which the image itself solves. */
const NOT_REMEMBERED = new Set(['unknown-image', 'cache-unavailable']);

/**
 * @param asked null for the caption
 * @throws Failure, or the signal's reason
 */
export async function* requestReply(
  { chosen, sha256, maxFileBytes }: RequestedImage,
  asked: { question: string; history: readonly Turn[] } | null,
  { signal, onState, onUploaded }: Reports,
): AsyncGenerator<ReplyEvent, void, undefined> {
  const path = asked === null ? '/v1/captions' : '/v1/answers';
  const fields = { ...asked, stream: true };
  if (sha256 !== null) {
    onState({ is: 'encoding', what: 'Thinking' });
    const body = JSON.stringify({ image: { sha256 }, ...fields });
    try {
      yield* send(path, { body, signal });
      return;
    } catch (thrown) {
      if (!(thrown instanceof Failure) || !NOT_REMEMBERED.has(thrown.slug)) throw thrown;
    }
  }
  const { source } = chosen;
  const body = requestBody(chosen, fields);
  if (source.kind === 'address') {
    const isFetched = /^http/i.test(source.address);
    onState({ is: 'encoding', what: isFetched ? 'Fetching the image' : 'Looking at the image' });
    yield* send(path, { body, signal });
    return;
  }
  await checkFile(source.file, maxFileBytes);
  const startedAt = performance.now();
  onState({ is: 'uploading', sent: 0, total: source.file.size });
  yield* send(path, {
    body,
    signal,
    onProgress: (sent, total) => onState({ is: 'uploading', sent, total }),
    onSent: () => {
      onUploaded(performance.now() - startedAt);
      onState({ is: 'encoding', what: 'Looking at the image' });
    },
  });
}
