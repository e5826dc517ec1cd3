/** From the engine's event of a job to the event that is sent to the edge. */
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import type { GpuEvent } from '@blip2/shared/gpu-events';
import type { GpuTimings } from '@blip2/shared/wire';
import type { JobOutput } from '../engine/client.ts';
import type { EmbeddingFormat } from './embedding-format.ts';

/** @param timings of the work before the engine, milliseconds */
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
