/** JSON Schema of what crosses the API, made of the schemas that check it: the components of the OpenAPI document. */
import { Problem } from '@blip2/shared/errors';
import { AnswerReply, AnswerRequest } from '@blip2/shared/schemas/answers';
import { CaptionReply, CaptionRequest } from '@blip2/shared/schemas/captions';
import {
  EmbeddingsLookupLine,
  EmbeddingsLookupRequest,
  EmbeddingsReply,
  EmbeddingsRequest,
  TextEmbeddingsReply,
} from '@blip2/shared/schemas/embeddings';
import { DoneEvent, ImageEvent, StreamEvent, TokenEvent } from '@blip2/shared/schemas/events';
import { Choice, TokenLogprob, Usage, Warning } from '@blip2/shared/schemas/generation';
import { Health } from '@blip2/shared/schemas/health';
import {
  FeatureExtractionReply,
  FeatureExtractionRequest,
  SentenceSimilarityReply,
  SentenceSimilarityRequest,
  ZeroShotReply,
  ZeroShotRequest,
} from '@blip2/shared/schemas/hugging-face/compare';
import { HuggingFaceError } from '@blip2/shared/schemas/hugging-face/error';
import {
  ImageToTextList,
  ImageToTextReply,
  ImageToTextRequest,
  VisualQuestionAnsweringReply,
  VisualQuestionAnsweringRequest,
} from '@blip2/shared/schemas/hugging-face/text';
import { ImageReference, ImageReply, RequestImage } from '@blip2/shared/schemas/image';
import {
  Job,
  JobDeleted,
  JobDeliveryList,
  JobEstimate,
  JobEvent,
  JobList,
  JobResultLine,
} from '@blip2/shared/schemas/jobs/job';
import { JobRequest, RetryRequest } from '@blip2/shared/schemas/jobs/request';
import { MatchReply, MatchRequest } from '@blip2/shared/schemas/match';
import {
  MoondreamAnswer,
  MoondreamCaption,
  MoondreamCaptionRequest,
  MoondreamEvent,
  MoondreamQueryRequest,
} from '@blip2/shared/schemas/moondream/text';
import {
  OllamaEmbeddingsReply,
  OllamaEmbeddingsRequest,
  OllamaEmbedReply,
  OllamaEmbedRequest,
} from '@blip2/shared/schemas/ollama/embed';
import { OllamaError } from '@blip2/shared/schemas/ollama/error';
import {
  OllamaModelList,
  OllamaRunningList,
  OllamaShowReply,
  OllamaShowRequest,
  OllamaVersion,
} from '@blip2/shared/schemas/ollama/models';
import { OllamaOptions } from '@blip2/shared/schemas/ollama/options';
import {
  OllamaChatReply,
  OllamaChatRequest,
  OllamaGenerateReply,
  OllamaGenerateRequest,
  OllamaMessage,
} from '@blip2/shared/schemas/ollama/text';
import { Batch, BatchList, BatchRequest } from '@blip2/shared/schemas/openai/batches';
import {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionRequest,
  ChatMessage,
  ChatTokenLogprob,
} from '@blip2/shared/schemas/openai/chat';
import {
  OpenAiEmbeddingsReply,
  OpenAiEmbeddingsRequest,
} from '@blip2/shared/schemas/openai/embeddings';
import { OpenAiError } from '@blip2/shared/schemas/openai/error';
import { OpenAiFile, OpenAiFileDeleted, OpenAiFileList } from '@blip2/shared/schemas/openai/files';
import { OpenAiModel, OpenAiModelList } from '@blip2/shared/schemas/openai/models';
import {
  ResponseObject,
  ResponseRequest,
  ResponseStreamEvent,
} from '@blip2/shared/schemas/openai/responses';
import { OpenApiDocument } from '@blip2/shared/schemas/openapi';
import { ReplicateError } from '@blip2/shared/schemas/replicate/error';
import { ReplicateFile, ReplicateFileList } from '@blip2/shared/schemas/replicate/file';
import {
  ReplicateAccount,
  ReplicateModel,
  ReplicateModelList,
  ReplicateVersion,
  ReplicateVersionList,
} from '@blip2/shared/schemas/replicate/model';
import {
  Prediction,
  PredictionEvent,
  PredictionInput,
  PredictionList,
  PredictionRequest,
} from '@blip2/shared/schemas/replicate/prediction';
import { LimitStanding, UsageDay, UsageLimits, UsageReply } from '@blip2/shared/schemas/usage';
import * as z from 'zod/mini';

/** Schemas that the document names; those that check the requests. */
export const SCHEMAS = {
  AnswerReply,
  AnswerRequest,
  Batch,
  BatchList,
  BatchRequest,
  CaptionReply,
  CaptionRequest,
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionRequest,
  ChatMessage,
  ChatTokenLogprob,
  Choice,
  DoneEvent,
  EmbeddingsLookupLine,
  EmbeddingsLookupRequest,
  EmbeddingsReply,
  EmbeddingsRequest,
  FeatureExtractionReply,
  FeatureExtractionRequest,
  Health,
  HuggingFaceError,
  ImageEvent,
  ImageReference,
  ImageReply,
  ImageToTextList,
  ImageToTextReply,
  ImageToTextRequest,
  Job,
  JobDeleted,
  JobDeliveryList,
  JobEstimate,
  JobEvent,
  JobList,
  JobRequest,
  JobResultLine,
  RetryRequest,
  LimitStanding,
  MatchReply,
  MatchRequest,
  MoondreamAnswer,
  MoondreamCaption,
  MoondreamCaptionRequest,
  MoondreamEvent,
  MoondreamQueryRequest,
  OllamaChatReply,
  OllamaChatRequest,
  OllamaEmbedReply,
  OllamaEmbedRequest,
  OllamaEmbeddingsReply,
  OllamaEmbeddingsRequest,
  OllamaError,
  OllamaGenerateReply,
  OllamaGenerateRequest,
  OllamaMessage,
  OllamaModelList,
  OllamaOptions,
  OllamaRunningList,
  OllamaShowReply,
  OllamaShowRequest,
  OllamaVersion,
  OpenAiEmbeddingsReply,
  OpenAiEmbeddingsRequest,
  OpenAiError,
  OpenAiFile,
  OpenAiFileDeleted,
  OpenAiFileList,
  OpenAiModel,
  OpenAiModelList,
  OpenApiDocument,
  Prediction,
  PredictionEvent,
  PredictionInput,
  PredictionList,
  PredictionRequest,
  Problem,
  ReplicateAccount,
  ReplicateError,
  ReplicateFile,
  ReplicateFileList,
  ReplicateModel,
  ReplicateModelList,
  ReplicateVersion,
  ReplicateVersionList,
  RequestImage,
  ResponseObject,
  ResponseRequest,
  ResponseStreamEvent,
  SentenceSimilarityReply,
  SentenceSimilarityRequest,
  StreamEvent,
  TextEmbeddingsReply,
  TokenEvent,
  TokenLogprob,
  Usage,
  UsageDay,
  UsageLimits,
  UsageReply,
  VisualQuestionAnsweringReply,
  VisualQuestionAnsweringRequest,
  Warning,
  ZeroShotReply,
  ZeroShotRequest,
};
export type SchemaName = keyof typeof SCHEMAS;

export type JsonSchema = Record<string, unknown> & {
  properties?: Record<string, JsonSchema>;
  required?: string[];
};

/** What a member is where a request leaves it out, by its schema: values that depend on the model that is served. */
export type Defaults = ReadonlyMap<unknown, unknown>;

export function reference(name: SchemaName): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

/** Schemas by name, which refer to each other. */
export function namedSchemas(defaults: Defaults): Record<SchemaName, JsonSchema> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, {
    ...options(defaults),
    uri: (id) => reference(id as SchemaName).$ref as string,
  });
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, withoutDialect(schema)]),
  ) as Record<SchemaName, JsonSchema>;
}

/** One schema, which refers to no other. */
export function jsonSchema(schema: z.core.$ZodType, defaults: Defaults): JsonSchema {
  return withoutDialect(z.toJSONSchema(schema, options(defaults)));
}

function options(defaults: Defaults) {
  return {
    // What may be sent, and what may come: a later version may add members to replies.
    io: 'input',
    override: ({ zodSchema, jsonSchema: json }) => {
      if (defaults.has(zodSchema)) json.default = defaults.get(zodSchema) as typeof json.default;
      // JSON Schema has no such format: the pattern says it.
      if (json.format === 'includes') delete json.format;
      // Of what may be absent, JSON Schema does not know that it distinguishes them.
      if (json.oneOf !== undefined && mayLackDiscriminator(zodSchema)) {
        json.anyOf = json.oneOf;
        delete json.oneOf;
      }
      // The integers of JavaScript are no limit of ours.
      if (json.maximum === Number.MAX_SAFE_INTEGER) delete json.maximum;
      if (json.minimum === Number.MIN_SAFE_INTEGER) delete json.minimum;
    },
  } satisfies z.core.ToJSONSchemaParams;
}

function mayLackDiscriminator(schema: z.core.$ZodType): boolean {
  if (!(schema instanceof z.ZodMiniDiscriminatedUnion)) return false;
  const { discriminator, options } = schema._zod.def;
  return options.some(({ _zod }) => _zod.propValues?.[discriminator]?.has(undefined) === true);
}

function withoutDialect(schema: object): JsonSchema {
  const { $schema: _dialect, $id: _id, ...json } = schema as JsonSchema;
  return json;
}
