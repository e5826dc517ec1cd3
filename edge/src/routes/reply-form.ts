/** What the headers of a request decide of the form of its reply: requests that differ in nothing but their headers' words are the same. */
import { dialectOf } from '../dialects/dialect.ts';
import { readsLists } from '../dialects/hugging-face/caption.ts';
import { waitSecondsOf } from '../dialects/replicate/predictions.ts';
import { negotiate } from '../http/content-negotiation.ts';
import type { Route } from './route.ts';

export type ReplyForm = {
  /** The media type, where the route reads `Accept`; null where none of its own is acceptable. */
  type?: string | null;
  /** Of errors, and of streams that break. */
  dialect: string;
  /** Captions as lists, as Hugging Face's client for Python reads them. */
  isListed?: boolean;
  /** Seconds that the reply may be held back; null where it is not. */
  waitSeconds?: number | null;
};

/**
 * @param path of the request
 * @example replyFormOf(route, '/v1/captions', new Headers({ accept: 'application/json' })) // as without the header
 */
export function replyFormOf(
  { errors, problems, reply }: Pick<Route, 'errors' | 'problems' | 'reply'>,
  path: string,
  headers: Headers,
): ReplyForm {
  return {
    ...(problems.includes('not-acceptable') && {
      type: negotiate(headers.get('accept'), Object.keys(reply)),
    }),
    dialect: dialectOf(path, headers),
    ...(errors === 'hugging-face' && { isListed: readsLists(headers) }),
    ...(errors === 'replicate' && { waitSeconds: waitSecondsOf(headers.get('prefer') ?? '') }),
  };
}
