/** `POST /v1/match`: how well texts fit an image. */
import { ApiError } from '@blip2/shared/errors';
import { retrievalIds } from '@blip2/shared/retrieval-ids';
import { MatchOptions, type MatchReply, MatchRequest } from '@blip2/shared/schemas/match';
import { retrievalModel } from '@blip2/shared/served-models';
import { validate } from '@blip2/shared/validate';
import { expectRoom } from '../gpu/workers.ts';
import { negotiateOrRefuse } from '../http/content-negotiation.ts';
import { readImageRequest } from '../http/request-body.ts';
import { serverTiming } from '../http/server-timing.ts';
import { resolveImage } from '../image/image-source.ts';
import { textTokens } from '../limits/cost.ts';
import { matchTexts } from '../retrieval/retrieve.ts';
import { type Handler, readingOf, requestContextOf } from './app-context.ts';

export const match: Handler = async (c, deps) => {
  const model = retrievalModel(deps.models);
  const context = requestContextOf(c, deps);
  negotiateOrRefuse(c.req.header('accept'), ['application/json']);
  const { source, fields } = await readImageRequest(c.req.raw, readingOf(c, deps), {
    schema: MatchRequest,
    check: (members) => {
      const { texts } = validate(MatchOptions, members);
      return { texts, ids: retrievalIds(model, texts, 'texts') };
    },
  });
  await context.account?.expect({ tokens: textTokens(fields.ids), images: 1 });
  expectRoom(deps.gpu, context);
  const { id, bytes } = await resolveImage(deps, source, context);
  if (bytes === undefined) {
    throw new ApiError(
      'no-image',
      'To match, send the image itself: the cached embeddings do not suffice.',
      { field: 'image.sha256' },
    );
  }
  const readAt = deps.now();
  const { image, scores, timings_ms } = await matchTexts(deps, { bytes, id }, fields.ids, context);
  const reply: MatchReply = {
    id: context.requestId,
    scores: scores.map((score, i) => ({ text: fields.texts[i] ?? '', ...score })),
    image: { sha256: id, ...image },
    model: model.name,
  };
  const marks = { startedAt: c.get('startedAt'), readAt, endedAt: deps.now() };
  return c.json(reply, 200, {
    'server-timing': serverTiming(marks, timings_ms),
    'cache-control': 'no-store',
  });
};
