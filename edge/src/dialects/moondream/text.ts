/** `POST /moondream/v1/caption` and `POST /moondream/v1/query`. */
import { ApiError } from '@blip2/shared/errors';
import type { GenerationOptions } from '@blip2/shared/generation/generation-options';
import {
  type MoondreamAnswer,
  type MoondreamCaption,
  MoondreamCaptionRequest,
  type MoondreamEvent,
  MoondreamQueryRequest,
} from '@blip2/shared/schemas/moondream/text';
import { validate } from '@blip2/shared/validate';
import type { Dependencies } from '../../dependencies.ts';
import { wholeOf } from '../../generation/begin-generation.ts';
import { readJsonObject } from '../../http/request-body.ts';
import {
  type AppContext,
  type Handler,
  readingOf,
  requestContextOf,
} from '../../routes/app-context.ts';
import { type Conversation, readConversation } from '../conversation.ts';
import { refuse } from '../refuse.ts';
import { type StreamForm, streamReply } from '../stream-reply.ts';
import { prepareReply, type ReplyDelta } from '../write-reply.ts';
import { moondreamErrorEvents } from './errors.ts';

/** How a caption of a length is searched for: the best of some beams, where the score of one is divided by its length. */
const LENGTHS: Record<'short' | 'normal' | 'long', GenerationOptions> = {
  short: { num_beams: 4, length_penalty: -1 },
  normal: {},
  long: { num_beams: 4, length_penalty: 2 },
};

type TextRequest = Pick<
  ReturnType<typeof MoondreamQueryRequest.parse>,
  'settings' | 'stream' | 'variant'
>;

export const captionOnMoondream: Handler = async (c, deps) => {
  const body = validate(
    MoondreamCaptionRequest,
    await readJsonObject(c.req.raw, readingOf(c, deps)),
  );
  const { image_url, length = 'normal' } = body;
  const sampled = (body.settings?.temperature ?? 0) > 0;
  const isSearch = length !== 'normal';
  const detail = 'is searched for, and a search does not sample: leave temperature at 0';
  refuse('length', isSearch && sampled, detail);
  const conversation = readConversation(
    [{ role: 'user', text: '', images: [{ url: image_url, field: 'image_url' }] }],
    'image_url',
  );
  const written = { conversation, options: LENGTHS[length], field: 'image_url' };
  return await write(c, deps, body, written, (caption) => ({ caption }));
};

export const queryOnMoondream: Handler = async (c, deps) => {
  const body = validate(MoondreamQueryRequest, await readJsonObject(c.req.raw, readingOf(c, deps)));
  const { question, image_url, reasoning = false, spatial_refs = [] } = body;
  refuse('reasoning', reasoning, 'this model does not reason: leave it out, or false');
  const places = 'no places can be pointed at: leave it out';
  refuse('spatial_refs', spatial_refs.length > 0, places);
  const images = image_url === undefined ? [] : [{ url: image_url, field: 'image_url' }];
  const conversation = readConversation([{ role: 'user', text: question, images }], 'question');
  const written = { conversation, options: {}, field: 'question' };
  return await write(c, deps, body, written, (answer) => ({ answer }));
};

async function write(
  c: AppContext,
  deps: Dependencies,
  { settings = {}, stream = false, variant }: TextRequest,
  asked: { conversation: Conversation; options: GenerationOptions; field: string },
  place: (text: string) => { caption: string } | { answer: string },
): Promise<Response> {
  const { variant: another, ...options } = settings;
  const none = 'no variants are served: leave it out';
  refuse('variant', variant !== undefined, none);
  refuse('settings.variant', another !== undefined, none);
  const canceled = new AbortController();
  const context = requestContextOf(c, deps, canceled.signal);
  const all = { n: 1, ...asked.options, ...options };
  const reply = prepareReply(deps, { ...asked, options: all });
  if (stream) context.account?.stream();
  const deltas = await reply.begin(context);
  const request_id = context.requestId;
  if (stream) {
    // What fails behind the headers its clients hardly show: they wait for the first characters.
    const form = eventsOf(request_id);
    const { deadlineMs } = deps.config;
    return await streamReply(textsOf(deltas), form, () => canceled.abort(), {
      refusalMs: deadlineMs,
    });
  }
  const { text, finish_reason } = await wholeOf(deltas);
  const whole = { request_id, ...place(text), finish_reason };
  const headers = { 'cache-control': 'no-store' };
  return c.json(whole satisfies MoondreamCaption | MoondreamAnswer, 200, headers);
}

async function* textsOf(
  deltas: AsyncGenerator<ReplyDelta, void, undefined>,
): AsyncGenerator<ReplyDelta, void, undefined> {
  for await (const delta of deltas) if (delta.type !== 'image') yield delta;
}

function eventsOf(request_id: string): StreamForm {
  const event = (data: MoondreamEvent) => `data: ${JSON.stringify(data)}\n\n`;
  return {
    begin: () => '',
    write: (delta) => {
      switch (delta.type) {
        case 'image':
          return '';
        case 'delta':
          return event({ chunk: delta.text });
        case 'done':
          return event({
            completed: true,
            request_id,
            finish_reason: delta.generation.finish_reason,
          });
      }
    },
    fail: (thrown) => moondreamErrorEvents(ApiError.from(thrown)),
  };
}
