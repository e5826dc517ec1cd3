/** Bodies of requests and replies by media type. */
import type { FileRequest, ImageRequest, JsonRequest, ReplyContent } from '../route.ts';
import { EVENT_EXAMPLES, EXAMPLES, LINE_EXAMPLES } from './examples.ts';
import { RESULT_LINE_EXAMPLES } from './job-examples.ts';
import { textFields } from './parameters.ts';
import {
  type Defaults,
  type JsonSchema,
  jsonSchema,
  reference,
  SCHEMAS,
  type SchemaName,
} from './schemas.ts';

/** Media types of the images that are read. */
const IMAGE_TYPES = ['image/jpeg', 'image/png', 'image/webp', 'image/gif', 'image/avif'];

const IMAGE_FILE = 'The image: JPEG, PNG, WebP, GIF or AVIF.';

const bytes = (description: string): JsonSchema => ({
  type: 'string',
  format: 'binary',
  description,
});

/** The forms that a request with an image may have. */
export function requestBody(
  request: ImageRequest | JsonRequest | FileRequest,
  defaults: Defaults,
): object {
  if ('file' in request) return fileBody(request, defaults);
  if (!('fields' in request)) {
    const { json, otherJson = [], orImage = false, orLines, orNone = false } = request;
    const names = [json, ...otherJson];
    const image = { schema: bytes(IMAGE_FILE) };
    return {
      required: !orNone,
      description: `JSON, whatever it is called${orImage ? '; or the image itself' : ''}${orLines === undefined ? '' : '; or JSON lines, with all other members in the query'}. It may be compressed (\`content-encoding\`).`,
      content: {
        'application/json': {
          schema: schemaOf(names),
          examples: Object.assign({}, ...names.map((name) => EXAMPLES[name])),
        },
        ...(orLines !== undefined && {
          'application/x-ndjson': { schema: { type: 'string', description: orLines } },
        }),
        ...(orImage && { 'image/*': image, 'application/octet-stream': image }),
      },
    };
  }
  return {
    required: true,
    description:
      'JSON; a form; or the image itself, with all other members in the query. Each may be compressed (`content-encoding`).',
    content: {
      'application/json': {
        schema: schemaOf([request.json, request.otherJson].filter((name) => name !== undefined)),
        examples: {
          ...EXAMPLES[request.json],
          ...(request.otherJson && EXAMPLES[request.otherJson]),
        },
      },
      'multipart/form-data': form(request, defaults, bytes(IMAGE_FILE)),
      'application/x-www-form-urlencoded': form(request, defaults, IMAGE_TEXT),
      'image/*': { schema: bytes(IMAGE_FILE) },
      'application/octet-stream': { schema: bytes(IMAGE_FILE) },
    },
  };
}

function fileBody({ file, content, fields }: FileRequest, defaults: Defaults): object {
  const all = textFields(fields, defaults);
  const needed = all.filter(({ isRequired }) => isRequired);
  return {
    required: true,
    description:
      content === undefined ? 'A form. It may be compressed (`content-encoding`).' : 'A form.',
    content: {
      'multipart/form-data': {
        schema: {
          type: 'object',
          properties: {
            [file]: bytes(content?.description ?? IMAGE_FILE),
            ...Object.fromEntries(all.map(({ name, schema }) => [name, schema])),
          },
          required: [file, ...needed.map(({ name }) => name)],
        },
        example: {
          [file]: content?.example ?? 'The bytes of an image',
          ...Object.fromEntries(needed.map(({ name, schema }) => [name, exampleOf(schema)])),
        },
      },
    },
  };
}

const IMAGE_TEXT: JsonSchema = {
  type: 'string',
  description: 'The image: an http(s) or `data:` URL, a SHA-256, or else base64.',
  examples: ['https://images.example.org/pizza-and-octopus.webp'],
};

/** @param image how a field of the form is the image */
function form({ json, fields }: ImageRequest, defaults: Defaults, image: JsonSchema): object {
  const all = textFields(fields, defaults);
  const required = jsonSchema(SCHEMAS[json], defaults).required ?? [];
  const needed = all.filter(({ isRequired }) => isRequired);
  const isJson = all.filter((field) => field.isJson).map(({ name }) => name);
  return {
    schema: {
      type: 'object',
      description: `The members of ${json} as fields of a form.`,
      properties: {
        image,
        ...Object.fromEntries(all.map(({ name, schema }) => [name, schema])),
      },
      ...(required.length > 0 && { required }),
      additionalProperties: false,
    },
    example: {
      image: exampleOf(image) ?? 'The bytes of an image',
      ...Object.fromEntries(needed.map(({ name, schema }) => [name, exampleOf(schema)])),
    },
    encoding: {
      ...(image.format === 'binary' && { image: { contentType: IMAGE_TYPES.join(', ') } }),
      ...Object.fromEntries(isJson.map((name) => [name, { contentType: 'application/json' }])),
    },
  };
}

function exampleOf({ examples }: JsonSchema): unknown {
  return (examples as unknown[] | undefined)?.[0];
}

/** The body of a reply by media type. */
export function replyContent(byMediaType: Record<string, ReplyContent>): object {
  return Object.fromEntries(
    Object.entries(byMediaType).map(([type, content]) => [type, mediaType(type, content)]),
  );
}

function mediaType(type: string, content: ReplyContent): object {
  switch (content) {
    case 'caption-events':
    case 'answer-events':
    case 'chat-events':
    case 'response-events':
    case 'prediction-events':
    case 'job-events':
    case 'moondream-events':
    case 'ollama-chat-lines':
    case 'ollama-generate-lines': {
      const { events, description } = STREAMS[content];
      return {
        schema: {
          type: 'string',
          description,
          contentMediaType: type,
          contentSchema: { type: 'array', items: events },
        },
        examples: EVENT_EXAMPLES[content],
      };
    }
    case 'embedding-lines': {
      const description = 'JSON lines, each an EmbeddingsLookupLine.';
      const line = reference('EmbeddingsLookupLine');
      return {
        schema: {
          type: 'string',
          description,
          contentMediaType: type,
          contentSchema: { type: 'array', items: line },
        },
        examples: LINE_EXAMPLES,
      };
    }
    case 'result-lines': {
      const description = 'JSON lines, each a JobResultLine.';
      return {
        schema: {
          type: 'string',
          description,
          contentMediaType: type,
          contentSchema: { type: 'array', items: reference('JobResultLine') },
        },
        examples: RESULT_LINE_EXAMPLES,
      };
    }
    case 'text':
      return { schema: { type: 'string', description: 'Text.' } };
    case 'file':
      return { schema: bytes('The bytes of the file.') };
    case 'binary':
      return { schema: bytes(BINARY_REPLIES[type] ?? 'Bytes.') };
    default:
      return {
        schema: schemaOf(content),
        examples: Object.assign({}, ...content.map((name) => EXAMPLES[name])),
      };
  }
}

const NATIVE_EVENTS = {
  events: reference('StreamEvent'),
  description: 'Server-sent events, each with the name and the data of StreamEvent.',
};

/** The events of streams, by what they are. */
const STREAMS: Record<keyof typeof EVENT_EXAMPLES, { events: JsonSchema; description: string }> = {
  'caption-events': NATIVE_EVENTS,
  'answer-events': NATIVE_EVENTS,
  'chat-events': {
    events: {
      anyOf: [reference('ChatCompletionChunk'), reference('OpenAiError'), { const: '[DONE]' }],
    },
    description:
      'Server-sent events without a name, each a ChatCompletionChunk; the last is `[DONE]`. One that breaks ends with an OpenAiError.',
  },
  'response-events': {
    events: reference('ResponseStreamEvent'),
    description: 'Server-sent events, each a ResponseStreamEvent under its own name.',
  },
  'moondream-events': {
    events: { anyOf: [reference('MoondreamEvent'), reference('OpenAiError')] },
    description:
      'Server-sent events without a name, each a MoondreamEvent. One that breaks ends with an event `error`, an OpenAiError, and one that is no JSON, at which clients stop.',
  },
  'ollama-chat-lines': {
    events: { anyOf: [reference('OllamaChatReply'), reference('OllamaError')] },
    description:
      'Lines of JSON, each an OllamaChatReply; one that breaks ends with an OllamaError.',
  },
  'ollama-generate-lines': {
    events: { anyOf: [reference('OllamaGenerateReply'), reference('OllamaError')] },
    description:
      'Lines of JSON, each an OllamaGenerateReply; one that breaks ends with an OllamaError.',
  },
  'job-events': {
    events: reference('JobEvent'),
    description: 'Server-sent events, each with the name and the data of JobEvent.',
  },
  'prediction-events': {
    events: reference('PredictionEvent'),
    description:
      'Server-sent events, from the beginning of the text or behind `Last-Event-ID`, however late they are asked for.',
  },
};

const BINARY_REPLIES: Record<string, string> = {
  'application/octet-stream':
    'The values alone, row by row: fp16 in little endian, two bytes each. `x-shape` has the shape.',
  'application/x-safetensors':
    'A file of safetensors: a tensor [queries, width] for each image under its hash; `__metadata__` has `model`, `revision`, `kind`, and `missing`, a list of hashes in JSON.',
  'application/x-npz':
    'A file of NumPy: an array [queries, width] for each image under its hash, and `missing`, an array of hashes. `numpy.load` reads it.',
  'image/webp': 'The image.',
  'application/x-npy': 'A file of NumPy, float32 [queries, width]: `numpy.load` reads it.',
};

function schemaOf(names: readonly SchemaName[]): JsonSchema {
  const [first, ...others] = names.map(reference);
  return first !== undefined && others.length === 0 ? first : { anyOf: names.map(reference) };
}
