/** Examples of requests and replies in Moondream's form: what the embedded model says of an image of the repository. */
import type * as z from 'zod/mini';
import type { Examples } from './openai-examples.ts';
import type { SCHEMAS } from './schemas.ts';

type Input<Name extends keyof typeof SCHEMAS> = z.input<(typeof SCHEMAS)[Name]>;
type ExamplesOf<Name extends keyof typeof SCHEMAS> = { [N in Name]: Examples<Input<N>> };

/** An image that was sent before: its bytes would be a long `data:` URL. */
const image_url = 'f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f';
const request_id = '7f1c2a30-5b0f-4c6e-9d0a-2f4d8c1b6e57';
const finish_reason = 'stop';
const question = 'what is above the octopus?';

export const MOONDREAM_EXAMPLES: ExamplesOf<
  'MoondreamCaptionRequest' | 'MoondreamCaption' | 'MoondreamQueryRequest' | 'MoondreamAnswer'
> = {
  MoondreamCaptionRequest: {
    caption: { summary: 'An image to caption', value: { image_url, length: 'short' } },
  },
  MoondreamCaption: {
    caption: {
      summary: 'A caption',
      value: { request_id, caption: 'a pizza above an octopus', finish_reason },
    },
  },
  MoondreamQueryRequest: {
    question: { summary: 'A question', value: { image_url, question } },
  },
  MoondreamAnswer: {
    answer: { summary: 'An answer', value: { request_id, answer: 'a pizza', finish_reason } },
  },
};

const events: Input<'MoondreamEvent'>[] = [
  { chunk: 'a' },
  { chunk: ' pizza' },
  { completed: true, request_id, finish_reason },
];

export const MOONDREAM_EVENT_EXAMPLES = {
  'moondream-events': {
    events: {
      summary: 'Written to its end',
      value: events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(''),
    },
  },
} satisfies Record<string, Examples<string>>;
