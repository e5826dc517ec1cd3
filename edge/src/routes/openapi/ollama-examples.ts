/** Examples of requests and replies in Ollama's form: what the embedded model says of an image of the repository. */
import type * as z from 'zod/mini';
import type { Examples } from './openai-examples.ts';
import type { SCHEMAS } from './schemas.ts';

type Input<Name extends keyof typeof SCHEMAS> = z.input<(typeof SCHEMAS)[Name]>;
type ExamplesOf<Name extends keyof typeof SCHEMAS> = { [N in Name]: Examples<Input<N>> };

/** An image that was sent before: its bytes would be a long text. */
const images = ['f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f'];
const model = 'blip2-scenes';
const question = 'what is above the octopus?';
const created_at = '2026-11-27T09:30:00.000Z';
const took = {
  done: true,
  done_reason: 'stop',
  total_duration: 81_000_000,
  load_duration: 0,
  prompt_eval_count: 41,
  prompt_eval_duration: 64_000_000,
  eval_count: 2,
  eval_duration: 17_000_000,
} as const;
const head = { model, created_at };
const said = (content: string) => ({ message: { role: 'assistant' as const, content } });

const shown = {
  name: `${model}:latest`,
  model: `${model}:latest`,
  size: 41_000_000,
  digest: '9edfeaa7ec6962b3128f52d22720f8955e0231fdb0773d215329e5c6b362e46c',
  details: {
    parent_model: '',
    format: 'onnx',
    family: 'blip2',
    families: ['blip2', 'opt'],
    parameter_size: '',
    quantization_level: 'FP32',
  },
};
const modified_at = '1970-01-01T00:00:00Z';

export const OLLAMA_EXAMPLES: ExamplesOf<
  | 'OllamaChatRequest'
  | 'OllamaChatReply'
  | 'OllamaGenerateRequest'
  | 'OllamaGenerateReply'
  | 'OllamaEmbedRequest'
  | 'OllamaEmbedReply'
  | 'OllamaEmbeddingsRequest'
  | 'OllamaEmbeddingsReply'
  | 'OllamaModelList'
  | 'OllamaRunningList'
  | 'OllamaShowRequest'
  | 'OllamaShowReply'
  | 'OllamaVersion'
  | 'OllamaError'
> = {
  OllamaChatRequest: {
    question: {
      summary: 'A question about an image',
      value: { model, messages: [{ role: 'user', content: question, images }], stream: false },
    },
    lines: {
      summary: 'A caption by beam search, as lines',
      value: {
        model,
        messages: [{ role: 'user', content: 'Describe this image.', images }],
        options: { num_beams: 4, num_predict: 20 },
      },
    },
  },
  OllamaChatReply: {
    answer: { summary: 'An answer', value: { ...head, ...said('a pizza'), ...took } },
  },
  OllamaGenerateRequest: {
    question: {
      summary: 'A question about an image',
      value: { model, prompt: question, images, stream: false },
    },
  },
  OllamaGenerateReply: {
    answer: { summary: 'An answer', value: { ...head, response: 'a pizza', ...took } },
  },
  OllamaEmbedRequest: {
    texts: { summary: 'Two texts', value: { model, input: ['a pizza', 'two cows'] } },
  },
  OllamaEmbedReply: {
    texts: {
      summary: 'Embeddings of two texts, shortened: their width is 64',
      value: {
        model,
        embeddings: [
          [0.6, 0.8, 0],
          [0.8, 0, -0.6],
        ],
        total_duration: 9_000_000,
        load_duration: 0,
        prompt_eval_count: 8,
      },
    },
  },
  OllamaEmbeddingsRequest: { text: { summary: 'A text', value: { model, prompt: 'a pizza' } } },
  OllamaEmbeddingsReply: {
    text: { summary: 'Its embedding, shortened', value: { embedding: [0.6, 0.8, 0] } },
  },
  OllamaModelList: {
    models: { summary: 'One model', value: { models: [{ ...shown, modified_at }] } },
  },
  OllamaRunningList: {
    models: {
      summary: 'One model',
      value: {
        models: [{ ...shown, expires_at: '2999-01-01T00:00:00Z', context_length: 256 }],
      },
    },
  },
  OllamaShowRequest: { model: { summary: 'A model', value: { model } } },
  OllamaShowReply: {
    model: {
      summary: 'A model that writes text and makes embeddings',
      value: {
        modelfile: `FROM ${model}`,
        parameters: 'num_predict 32',
        template: 'Question: {{ .Prompt }} Answer:',
        details: shown.details,
        model_info: {
          'general.architecture': 'blip2',
          'general.name': model,
          'blip2.context_length': 256,
          'blip2.embedding_length': 64,
        },
        capabilities: ['completion', 'vision', 'embedding'],
        modified_at,
      },
    },
  },
  OllamaVersion: { version: { summary: 'The version of the API', value: { version: '0.6.4' } } },
  OllamaError: {
    ollama: {
      summary: 'In the form that Ollama’s clients read',
      value: { error: 'model: is required.' },
    },
  },
};

type Line = Input<'OllamaChatReply'> | Input<'OllamaGenerateReply'>;

const asLines = (lines: readonly Line[]) =>
  lines.map((line) => `${JSON.stringify(line)}\n`).join('');

const NEW = { ...head, done: false };

export const OLLAMA_LINE_EXAMPLES = {
  'ollama-chat-lines': {
    lines: {
      summary: 'Written to its end',
      value: asLines([
        { ...NEW, ...said('a') },
        { ...NEW, ...said(' pizza') },
        { ...head, ...said(''), ...took },
      ]),
    },
  },
  'ollama-generate-lines': {
    lines: {
      summary: 'Written to its end',
      value: asLines([
        { ...NEW, response: 'a' },
        { ...NEW, response: ' pizza' },
        { ...head, response: '', ...took },
      ]),
    },
  },
} satisfies Record<string, Examples<string>>;
