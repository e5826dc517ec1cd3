/** Texts of a request for embeddings: each is embedded as it is, but one that is the address of an image, or its base64, is that image. */
import { ApiError } from '@blip2/shared/errors';
import { isBase64Image } from '@blip2/shared/image-text';
import { isImageAddress, sourceFromText } from '../image/image-source.ts';
import type { EmbeddingInput } from '../retrieval/embed-inputs.ts';

/** Most images of one request: each may have to be fetched, and is encoded on its own. */
const MAX_IMAGES = 32;

/**
 * @param name the member of the request that holds them
 * @throws ApiError `invalid-request` for too many images, `invalid-base64`
 * @example embeddingInputs('a dog', 'input') // [{ kind: 'text', text: 'a dog' }]
 */
export function embeddingInputs(input: string | readonly string[], name: string): EmbeddingInput[] {
  const texts = typeof input === 'string' ? [input] : input;
  const images = texts.filter(isImage).length;
  if (images > MAX_IMAGES) {
    const detail = `${name}: at most ${MAX_IMAGES} images of one request are embedded, and these are ${images}.`;
    throw new ApiError('invalid-request', detail, {
      field: name,
      limit: MAX_IMAGES,
      actual: images,
    });
  }
  return texts.map((text, index): EmbeddingInput => {
    if (!isImage(text)) return { kind: 'text', text };
    const field = typeof input === 'string' ? name : `${name}.${index}`;
    return { kind: 'image', source: sourceFromText(text, field), field };
  });
}

/** Nobody means the words where base64 is that of an image. */
const isImage = (text: string) => isImageAddress(text) || isBase64Image(text);
