/** What the engine emits about a job → the event that the edge gets about its request. */
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import type { GpuEvent } from '@blip2/shared/gpu-events';
import type { GpuTimings } from '@blip2/shared/wire';
import type { JobOutput } from '../engine/client.ts';
import type { EmbeddingFormat } from './embedding-format.ts';

/** @param timings what was measured before the engine, milliseconds */
export function toGpuEvent(
  event: JobOutput,
  { shape, type }: EmbeddingFormat,
  timings: GpuTimings,
): GpuEvent {
  switch (event.type) {
    case 'embeddings':
      return {
        type: 'embeddings',
        embeddings: encodeEmbeddings({ ...shape, values: event.values }, type),
      };
    case 'tokens':
    case 'scores':
      return event;
    case 'texts':
      return { type: 'texts', embeddings: event.embeddings.map((vector) => Array.from(vector)) };
    case 'done': {
      const choices = event.choices.map(({ finishReason, completionTokens, ...rest }) => ({
        finish_reason: finishReason,
        completion_tokens: completionTokens,
        ...rest,
      }));
      return { type: 'done', choices, timings_ms: { ...event.timings, ...timings } };
    }
  }
}
