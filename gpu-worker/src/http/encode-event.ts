/** What the engine emits → the frame that says it. */
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import { encodeFrame, encodeJsonFrame, encodeTokensFrame } from '@blip2/shared/frames';
import type { GpuDone, GpuScores, GpuTexts, GpuTimings } from '@blip2/shared/wire';
import type { JobEvent } from '../engine/protocol.ts';
import type { EmbeddingFormat } from './embedding-format.ts';

/**
 * @param timings what was measured before the engine
 * @throws Error for a job that failed
 */
export function encodeEvent(
  event: JobEvent,
  { shape, type }: EmbeddingFormat,
  timings: GpuTimings,
): Uint8Array<ArrayBuffer> {
  switch (event.type) {
    case 'embeddings':
      return encodeFrame('embeddings', encodeEmbeddings({ ...shape, values: event.values }, type));
    case 'tokens':
      return encodeTokensFrame(event);
    case 'scores':
      return encodeJsonFrame('scores', { scores: event.scores } satisfies GpuScores);
    case 'texts': {
      const embeddings = event.embeddings.map((vector) => Array.from(vector));
      return encodeJsonFrame('texts', { embeddings } satisfies GpuTexts);
    }
    case 'done': {
      const choices = event.choices.map(({ finishReason, completionTokens, ...rest }) => ({
        finish_reason: finishReason,
        completion_tokens: completionTokens,
        ...rest,
      }));
      const timings_ms = { ...event.timings, ...timings };
      return encodeJsonFrame('done', { choices, timings_ms } satisfies GpuDone);
    }
    case 'failed':
      throw new Error(event.message);
  }
}
