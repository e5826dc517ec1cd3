/** Examples of requests and replies: what the embedded model says of an image of the repository. */
import type * as z from 'zod/mini';
import { HUGGING_FACE_EXAMPLES } from './hugging-face-examples.ts';
import { JOB_EVENT_EXAMPLES, JOB_EXAMPLES } from './job-examples.ts';
import { MOONDREAM_EVENT_EXAMPLES, MOONDREAM_EXAMPLES } from './moondream-examples.ts';
import { OLLAMA_EXAMPLES, OLLAMA_LINE_EXAMPLES } from './ollama-examples.ts';
import { type Examples, OPENAI_EVENT_EXAMPLES, OPENAI_EXAMPLES } from './openai-examples.ts';
import { REPLICATE_EVENT_EXAMPLES, REPLICATE_EXAMPLES } from './replicate-examples.ts';
import type { SCHEMAS, SchemaName } from './schemas.ts';

const sha256 = 'f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f';
const id = '7f1c2a30-5b0f-4c6e-9d0a-2f4d8c1b6e57';
const image = { sha256, width: 352, height: 352, format: 'webp' } as const;
const model = 'blip2-scenes';
/** 1 × 1 px. */
const TINY_PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';

const captionReply = {
  id,
  caption: 'a pizza above an octopus on a gray background',
  image,
  model,
  cache: 'miss',
  usage: { prompt_tokens: 33, completion_tokens: 9, total_tokens: 42 },
  finish_reason: 'stop',
} as const;

export const EXAMPLES: {
  [Name in SchemaName]?: Examples<z.input<(typeof SCHEMAS)[Name]>>;
} = {
  CaptionRequest: {
    hash: { summary: 'An image that was sent before', value: { image: { sha256 } } },
    bytes: { summary: 'The bytes, as base64', value: { image: { data: TINY_PNG } } },
    url: {
      summary: 'An image somewhere else, its caption as a stream',
      value: {
        image: { url: 'https://images.example.org/pizza-and-octopus.webp' },
        stream: true,
      },
    },
    search: {
      summary: 'The three best of a search with four beams',
      value: { image: { sha256 }, num_beams: 4, n: 3, max_tokens: 20 },
    },
    samples: {
      summary: 'Two samples, the same each time',
      value: { image: { sha256 }, temperature: 0.7, top_p: 0.9, n: 2, seed: 7 },
    },
    beginning: {
      summary: 'A caption that begins as you say',
      value: { image: { sha256 }, prompt: 'a pizza above' },
    },
  },
  AnswerRequest: {
    question: {
      summary: 'A question',
      value: { image: { sha256 }, question: 'what is in the picture?' },
    },
    conversation: {
      summary: 'A question after another, answered as a stream',
      value: {
        image: { sha256 },
        question: 'what color is the background?',
        history: [{ question: 'is there an octopus?', answer: 'yes' }],
        stream: true,
      },
    },
  },
  MatchRequest: {
    texts: {
      summary: 'Which of two texts fits',
      value: {
        image: { data: TINY_PNG },
        texts: ['a pizza above an octopus on a gray background', 'an octopus above a pizza'],
      },
    },
  },
  EmbeddingsRequest: {
    image: { summary: 'Query embeddings of an image', value: { image: { data: TINY_PNG } } },
    contrast: {
      summary: 'Embeddings of an image that compare with those of texts',
      value: { image: { data: TINY_PNG }, kind: 'itc' },
    },
    texts: {
      summary: 'Embeddings of texts',
      value: { text: ['a pizza above an octopus', 'an octopus above a pizza'], kind: 'itc' },
    },
  },
  EmbeddingsLookupRequest: {
    two: {
      summary: 'Two images, in half precision',
      value: { sha256: [sha256, '0'.repeat(64)], dtype: 'float16' },
    },
  },
  CaptionReply: {
    caption: { summary: 'A caption', value: captionReply },
  },
  AnswerReply: {
    answer: {
      summary: 'An answer',
      value: {
        id,
        answer: 'a pizza and an octopus',
        image,
        model,
        cache: 'colo',
        usage: { prompt_tokens: 43, completion_tokens: 5, total_tokens: 48 },
        finish_reason: 'stop',
      },
    },
  },
  MatchReply: {
    scores: {
      summary: 'The first text fits',
      value: {
        id,
        scores: [
          { text: 'a pizza above an octopus on a gray background', itm: 0.8832, itc: 0.7473 },
          { text: 'an octopus above a pizza', itm: 0.0004, itc: 0.5253 },
        ],
        image,
        model,
      },
    },
  },
  EmbeddingsReply: {
    image: {
      summary: 'Query embeddings, shortened: there are 32 of width 192',
      value: {
        embeddings: [
          [0.25, -1.5, 0.75],
          [1.25, 0.5, -0.125],
        ],
        kind: 'query',
        image,
        model,
        cache: 'miss',
      },
    },
  },
  UsageReply: {
    key: {
      summary: 'A key with limits of requests and of streams',
      value: {
        caller: 'key',
        name: 'alice',
        limits: {
          requests_per_minute: { limit: 60, remaining: 59, reset_after: 60 },
          tokens_per_minute: null,
          images_per_day: null,
          open_streams: { limit: 4, remaining: 4, reset_after: 0 },
        },
        days: [
          {
            date: '2026-11-27',
            requests: 12,
            prompt_tokens: 480,
            completion_tokens: 96,
            images: 3,
          },
        ],
      },
    },
  },
  TextEmbeddingsReply: {
    texts: {
      summary: 'Embeddings of two texts, shortened: their width is 64',
      value: {
        embeddings: [
          [0.6, 0.8, 0],
          [0.8, 0, -0.6],
        ],
        kind: 'itc',
        model,
      },
    },
  },
  ...OPENAI_EXAMPLES,
  ...HUGGING_FACE_EXAMPLES,
  ...OLLAMA_EXAMPLES,
  ...MOONDREAM_EXAMPLES,
  ...REPLICATE_EXAMPLES,
  ...JOB_EXAMPLES,
  Health: {
    healthy: {
      summary: 'All is well',
      value: {
        status: 'ok',
        checks: { gpu_worker: 'ok', model: 'ok', kv: 'ok' },
        model,
        revision: '21892f5c44a9f5a7173588592429eba4b735e916fd05392cb1bdc8c0bec86bd8',
        execution_provider: 'cpu',
        precision: 'fp32',
        damaged_entries: 0,
      },
    },
  },
};

const ERROR: z.input<(typeof SCHEMAS)['Problem']> = {
  type: '/problems/deadline-exceeded',
  title: 'The answer took too long',
  status: 504,
  detail: 'The request was not finished before its deadline.',
};

type StreamEvent = z.input<(typeof SCHEMAS)['StreamEvent']>;

/** @param member the member of the reply that holds the text */
function streams(member: 'caption' | 'answer', text: string): Examples<string> {
  const tokens = text.split(/(?= )/);
  const { caption: _text, ...rest } = captionReply;
  const usage = {
    ...rest.usage,
    completion_tokens: tokens.length,
    total_tokens: rest.usage.prompt_tokens + tokens.length,
  };
  const timings_ms = { queue: 0.8, vision: 21.5, qformer: 3.2, prefill: 6.4, decode: 25.1 };
  const events: StreamEvent[] = [
    { event: 'image', data: { ...image, cache: 'miss' } },
    ...tokens.map((token, index): StreamEvent => {
      return { event: 'token', data: { choice: 0, text: token, index } };
    }),
    { event: 'done', data: { ...rest, [member]: text, text, usage, timings_ms } },
  ];
  return {
    [member]: { summary: 'Written to its end', value: asStream(events) },
    failure: {
      summary: 'Broken off after the first token',
      value: asStream([...events.slice(0, 2), { event: 'error', data: ERROR }]),
    },
  };
}

function asStream(events: readonly StreamEvent[]): string {
  return events
    .map(({ event, data }) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
    .join('');
}

/** JSON lines, shortened: there are 32 vectors of width 192 for each image. */
export const LINE_EXAMPLES: Examples<string> = {
  lines: {
    summary: 'One that is cached, and one that is not',
    value: `{"sha256":"${sha256}","embeddings":[[0.25,-1.5,0.75]],"image":{"width":352,"height":352,"format":"webp"}}
{"sha256":"${'0'.repeat(64)}","missing":true}
`,
  },
};

export const EVENT_EXAMPLES = {
  'caption-events': streams('caption', captionReply.caption),
  'answer-events': streams('answer', 'a pizza and an octopus'),
  ...OPENAI_EVENT_EXAMPLES,
  ...OLLAMA_LINE_EXAMPLES,
  ...MOONDREAM_EVENT_EXAMPLES,
  ...REPLICATE_EVENT_EXAMPLES,
  ...JOB_EVENT_EXAMPLES,
};
