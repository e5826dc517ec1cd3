/** The API as evaluations use it: the requests of the paper's tasks, sent again where a failure may pass. */
import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { AnswerReply } from '@blip2/shared/schemas/answers';
import { CaptionReply } from '@blip2/shared/schemas/captions';
import { EmbeddingsReply, TextEmbeddingsReply } from '@blip2/shared/schemas/embeddings';
import { Health } from '@blip2/shared/schemas/health';
import { MatchReply } from '@blip2/shared/schemas/match';
import { expectOk } from '../../api.ts';
import { type Backoff, delayOf } from '../../backoff.ts';
import type { GenerationSettings } from './published-settings.ts';

/** Too many requests, or a part that is about to come back. */
const MAY_PASS = new Set([429, 502, 503, 504]);
const TRIES = 6;
const WAITS: Backoff = { firstMs: 1000, capMs: 30_000, calmMs: 0 };
const LONGEST_WAIT_SECONDS = 60;

export class Service {
  readonly #url: string;

  /** @param url base of the API, without a trailing slash */
  constructor(url: string) {
    this.#url = url;
  }

  async health(): Promise<Health> {
    const response = await expectOk(await fetch(`${this.#url}/healthz`));
    return Health.parse(await response.json());
  }

  /** @param prompt what the caption continues; none where it is null */
  async caption(image: string, prompt: string | null, settings: GenerationSettings) {
    const body = { ...(await sent(image)), ...(prompt === null ? {} : { prompt }), ...settings };
    return CaptionReply.parse(await this.#post('/v1/captions', image, body)).caption;
  }

  /** By the template of the model's family. */
  async answer(image: string, question: string, settings: GenerationSettings) {
    const body = { ...(await sent(image)), question, ...settings };
    return AnswerReply.parse(await this.#post('/v1/answers', image, body)).answer;
  }

  /** ITC's embeddings of an image: [queries][width]. */
  async embedImage(image: string) {
    const body = { ...(await sent(image)), kind: 'itc' };
    return EmbeddingsReply.parse(await this.#post('/v1/embeddings', image, body)).embeddings;
  }

  /** ITC's embeddings of texts, [texts][width], and the retrieval model's name. */
  async embedTexts(text: readonly string[]) {
    return TextEmbeddingsReply.parse(
      await this.#post('/v1/embeddings', 'texts', { text, kind: 'itc' }),
    );
  }

  /** ITM's probabilities that the texts belong to the image. */
  async match(image: string, texts: readonly string[]) {
    const body = { ...(await sent(image)), texts };
    const { scores } = MatchReply.parse(await this.#post('/v1/match', image, body));
    return scores.map(({ itm }) => itm);
  }

  /** @param subject what the request is about, for the error: a file, or texts */
  async #post(path: string, subject: string, body: object): Promise<unknown> {
    const request = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    };
    for (let failures = 1; ; failures++) {
      try {
        const response = await fetch(`${this.#url}${path}`, request);
        if (!MAY_PASS.has(response.status) || failures === TRIES) {
          return await (await expectOk(response)).json();
        }
        await response.body?.cancel();
        await setTimeout(waitMs(failures, response.headers.get('retry-after')));
      } catch (error) {
        const isNetwork = error instanceof TypeError;
        if (!isNetwork || failures === TRIES) throw named(subject, error as Error);
        await setTimeout(waitMs(failures, null));
      }
    }
  }
}

function waitMs(failures: number, retryAfter: string | null): number {
  const asked = Number(retryAfter ?? 0);
  const seconds = Math.min(LONGEST_WAIT_SECONDS, Number.isFinite(asked) ? asked : 0);
  return Math.max(seconds * 1000, delayOf(failures + 1, WAITS));
}

/** What `fetch` says of a connection is in the cause. */
function named(subject: string, { message, cause }: Error): Error {
  const why = cause instanceof Error && cause.message !== '' ? cause.message : message;
  return new Error(`${subject}: ${why}`);
}

async function sent(image: string): Promise<{ image: { data: string } }> {
  return { image: { data: (await readFile(image)).toString('base64') } };
}
