/** Predictions as Replicate's clients create and read them. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import { generationOptions } from '../generation.ts';
import { closed, noImage } from '../places.ts';
import { EXAMPLE_BASE, EXAMPLE_ID, EXAMPLE_TOKEN } from './examples.ts';

/** One text is written, and whether it is sampled is said in that service's way. */
const {
  stream: _stream,
  n: _n,
  num_return_sequences: _sequences,
  logprobs: _logprobs,
  top_logprobs: _top,
  max_completion_tokens: _completion,
  do_sample: _sample,
  temperature: _temperature,
  ...ofText
} = generationOptions;

export const DEFAULT_QUESTION = 'What is this a picture of?';

/** The members that BLIP-2 has there, and the options of a text that it has here. */
export const PredictionInput = described(
  closed(
    {
      image: described(
        z.string({
          error:
            'must be an image: an https or data: URL, or a file that the client uploads (a Buffer, Blob or File; it writes a Uint8Array as an object of numbers)',
        }),
        'The image: an http(s) or `data:` URL, `urls.get` of a file that was uploaded, base64, or the SHA-256 of an image that was sent before.',
        'https://images.example.org/pizza-and-octopus.webp',
      ),
      caption: described(
        z.optional(z.boolean()),
        'Whether a caption is written: `question` and `context` are then not read.',
        true,
      ),
      question: described(
        z.optional(z.string({ error: 'must be a text' }).check(noImage('send it as image'))),
        `The question; \`${DEFAULT_QUESTION}\` where it is left out, and a caption where it is empty.`,
        'what is above the octopus?',
      ),
      context: described(
        z.optional(z.string({ error: 'must be a text' })),
        'What stands before the question: earlier questions with their answers.',
        'Question: is there an octopus? Answer: yes.',
      ),
      use_nucleus_sampling: described(
        z.optional(z.boolean()),
        'Whether tokens are sampled, with `temperature`, and `top_p` 0.9 where that is left out; else the likeliest are taken.',
        true,
      ),
      temperature: described(
        z.optional(z.number().check(z.gt(0), z.maximum(2))),
        'How evenly tokens are sampled with `use_nucleus_sampling`; 1 where it is left out. Without sampling it is not read.',
        0.7,
      ),
      ...ofText,
    },
    { image: 'send the image as image', text: 'send the text as question' },
  ),
  'What a prediction is made of.',
);
export type PredictionInput = z.infer<typeof PredictionInput>;

export const PredictionRequest = described(
  closed(
    {
      version: described(
        z.optional(z.string()),
        'Version of the model, or its name, with or without a version: where neither this nor a model is given, the model that is served.',
        '4b32258c42e9efd4288bb9910bc532a69727f9acd26aa08e175713a0a857a608',
      ),
      model: described(
        z.optional(z.string()),
        'Name of the model, where no version says it.',
        'salesforce/blip-2',
      ),
      input: PredictionInput,
      stream: described(
        z.optional(z.boolean()),
        'Accepted: every prediction has `urls.stream`.',
        true,
      ),
      webhook: described(
        z.optional(z.string()),
        'Refused: nothing is called back. Poll `urls.get`, send `Prefer: wait`, or read `urls.stream`.',
      ),
      webhook_events_filter: described(
        z.optional(z.array(z.string())),
        'Accepted: there are no webhooks.',
        ['completed'],
      ),
    },
    { image: 'send the image as input.image', text: 'send the text as input.question' },
  ),
  'A prediction to create.',
);

const time = (description: string) =>
  described(z.nullable(z.string()), description, '2026-11-27T12:00:00.000Z');
const url = (description: string, example: string) => described(z.string(), description, example);

export const Prediction = described(
  z.object({
    id: described(z.string(), 'Id of the prediction, which nobody can guess.', EXAMPLE_ID),
    model: described(z.string(), 'Name of the model.', 'blip2/blip2-scenes'),
    version: described(z.string(), 'Version of the model.', '0f1e2d3c4b5a'),
    status: described(
      z.enum(['starting', 'processing', 'succeeded', 'failed', 'canceled']),
      'The last three are ends. A reply to `Prefer: wait` that came too early says `starting`, whatever is done.',
      'succeeded',
    ),
    input: described(
      z.record(z.string(), z.unknown()),
      'What it is made of; an image that was sent as bytes is its SHA-256.',
      { question: 'what is above the octopus?' },
    ),
    output: described(
      z.nullable(z.string()),
      'The text, where it succeeded. One that begins with `https:` or `data:` has a space in front, since clients would fetch it.',
      'a pizza',
    ),
    error: described(z.nullable(z.string()), 'What is wrong, where it failed.'),
    logs: described(z.string(), 'Always empty.', ''),
    created_at: described(z.string(), 'When it was created.', '2026-11-27T12:00:00.000Z'),
    started_at: time('When the image had been read.'),
    completed_at: time('When it ended.'),
    data_removed: described(z.literal(false), 'Always false: what is removed is not found.'),
    source: described(z.literal('api'), 'Always `api`.'),
    metrics: described(
      z.object({
        predict_time: described(z.optional(z.number()), 'Seconds from start to end.', 0.12),
        total_time: described(z.optional(z.number()), 'Seconds from creation to end.', 0.14),
      }),
      'How long it took, once it has ended.',
    ),
    urls: described(
      z.object({
        get: url('The prediction.', `${EXAMPLE_BASE}/predictions/${EXAMPLE_ID}`),
        cancel: url('Cancels it.', `${EXAMPLE_BASE}/predictions/${EXAMPLE_ID}/cancel`),
        stream: url(
          'Its events, for whoever has this URL.',
          `${EXAMPLE_BASE}/stream/${EXAMPLE_ID}?token=${EXAMPLE_TOKEN}`,
        ),
      }),
      'Where it is read, canceled and streamed.',
    ),
  }),
  'A prediction. It is deleted an hour after it was created.',
);
export type Prediction = z.infer<typeof Prediction>;

const page = {
  previous: described(z.nullable(z.string()), 'URL of the newer ones, where there are any.'),
  next: described(z.nullable(z.string()), 'URL of the older ones, where there are any.'),
};

export const PredictionList = described(
  z.object({ ...page, results: described(z.array(Prediction), 'The newest first.') }),
  'Predictions of this key.',
);
export type PredictionList = z.infer<typeof PredictionList>;

export const PredictionEvent = described(
  z.object({
    id: described(z.string(), 'Number of the event, for `Last-Event-ID`.', '1'),
    event: described(
      z.enum(['output', 'error', 'done']),
      '`output` has the next part of the text, `error` what is wrong; `done` is the last.',
      'output',
    ),
    data: described(
      z.string(),
      'The part, to the letter; of `done`, JSON that may have a `reason`: `canceled` or `error`.',
      ' a pizza',
    ),
  }),
  'An event of a prediction.',
);

const id = described(z.string(), 'Id of the prediction.', EXAMPLE_ID);
export const PredictionPath = z.object({ prediction_id: id });

const cursor = z
  .string({ error: 'is given once' })
  .check(z.regex(/^(older|newer)-\d{1,15}$/, 'must be that of a URL in `next` or `previous`'));
export const ListQuery = z.strictObject({
  cursor: described(z.optional(cursor), 'Where the page begins: as `next` says.', 'older-40'),
});

export const SignedQuery = z.object({
  token: described(
    z.optional(z.string()),
    'What makes the URL good without a key: the reply that named the URL has it.',
    EXAMPLE_TOKEN,
  ),
});
