/** `POST /v1/match`: how well texts fit an image. */
import { ApiError } from '@blip2/shared/errors';
import { MatchOptions, type MatchReply } from '@blip2/shared/schemas/match';
import { readBody } from '../http/request-body.ts';
import { validate } from '../http/validate.ts';
import { resolveImage } from '../image/image-source.ts';
import { retrievalModel } from '../model-manifest.ts';
import { match, retrievalIds } from '../retrieval/retrieve.ts';
import { type AppContext, scopeOf, serverTiming } from './request-context.ts';

export async function matchTexts(c: AppContext): Promise<Response> {
  const services = c.get('services');
  const { name } = retrievalModel();
  const scope = scopeOf(c);
  const { source, fields } = await readBody(c.req.raw, services.settings, (members) => {
    const { texts } = validate(MatchOptions, members);
    return { texts, ids: retrievalIds(texts, 'texts') };
  });
  const { sha256, bytes } = await resolveImage(source, services.settings, scope.signal);
  if (bytes === undefined) {
    throw new ApiError(
      'no-image',
      'To match, send the image itself: what is kept of it does not tell enough.',
      { field: 'image.sha256' },
    );
  }
  const readAt = Date.now();
  const { image, scores, timings_ms } = await match(services, bytes, fields.ids, scope);
  const reply: MatchReply = {
    id: scope.id,
    scores: scores.map((score, i) => ({ text: fields.texts[i] ?? '', ...score })),
    image: { sha256, ...image },
    model: name,
  };
  return c.json(reply, 200, {
    'server-timing': serverTiming(c, { readAt }, timings_ms),
    'cache-control': 'no-store',
  });
}
