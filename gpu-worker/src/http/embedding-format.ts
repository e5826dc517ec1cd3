/** The shape and type in which a model's embeddings are sent. */
import {
  type EmbeddingShape,
  type EmbeddingType,
  embeddingTypeOf,
} from '@blip2/shared/embedding-codec';
import type { GpuTask } from '@blip2/shared/wire';
import type { Models } from './dependencies.ts';

export type EmbeddingFormat = { shape: EmbeddingShape; type: EmbeddingType };

/** Format of the embeddings that a request sends or gets: ITC's of the retrieval model, else query embeddings. */
export function embeddingFormat(request: GpuTask, { generate, retrieve }: Models): EmbeddingFormat {
  if (request.kind === 'embed' && request.embedding === 'itc' && retrieve !== undefined) {
    return {
      shape: { numQueries: retrieve.num_query_tokens, hidden: retrieve.itc_hidden },
      type: embeddingTypeOf(retrieve.precision),
    };
  }
  return {
    shape: { numQueries: generate.num_query_tokens, hidden: generate.qformer_hidden },
    type: embeddingTypeOf(generate.precision),
  };
}
