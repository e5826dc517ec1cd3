/** Bodies of requests and replies by media type. */
import type { ImageRequest, JsonRequest, ReplyContent } from '../route.ts';
import { EVENT_EXAMPLES, EXAMPLES } from './examples.ts';
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
export function requestBody(request: ImageRequest | JsonRequest, defaults: Defaults): object {
  if (!('fields' in request)) {
    const { json, otherJson = [], orImage = false } = request;
    const names = [json, ...otherJson];
    const image = { schema: bytes(IMAGE_FILE) };
    return {
      required: true,
      description: `JSON, whatever it is called${orImage ? '; or the image itself' : ''}. It may be compressed (\`content-encoding\`).`,
      content: {
        'application/json': {
          schema: schemaOf(names),
          examples: Object.assign({}, ...names.map((name) => EXAMPLES[name])),
        },
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
    case 'response-events': {
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
    case 'text':
      return { schema: { type: 'string', description: 'Text.' } };
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
};

const BINARY_REPLIES: Record<string, string> = {
  'application/octet-stream':
    'The values alone, row by row: fp16 in little endian, two bytes each. `x-shape` has the shape.',
  'image/webp': 'The image.',
  'application/x-npy': 'A file of NumPy, float32 [queries, width]: `numpy.load` reads it.',
};

function schemaOf(names: readonly SchemaName[]): JsonSchema {
  const [first, ...others] = names.map(reference);
  return first !== undefined && others.length === 0 ? first : { anyOf: names.map(reference) };
}
