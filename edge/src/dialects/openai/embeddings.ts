/** `POST /v1/embeddings` as OpenAI's clients send it: distinguished from our own form by the member `input`. */
import { ApiError } from '@blip2/shared/errors';
import {
  type OpenAiEmbeddingsReply,
  OpenAiEmbeddingsRequest,
} from '@blip2/shared/schemas/openai/embeddings';
import { retrievalModel } from '@blip2/shared/served-models';
import { validate } from '@blip2/shared/validate';
import type { Dependencies } from '../../dependencies.ts';
import { embedInputs } from '../../retrieval/embed-inputs.ts';
import { type AppContext, requestContextOf } from '../../routes/app-context.ts';
import { largeJson, numbersCost } from '../../routes/large-reply.ts';
import { embeddingInputs } from '../embedding-inputs.ts';
import { expectModel } from '../model-ids.ts';

/** What a number costs in base64, of what it costs in digits. */
const OF_BASE64 = 0.1;

/** Whether a body is in this form: ours has `image` or `text`. */
export function isOpenAiEmbeddings(body: Readonly<Record<string, unknown>>): boolean {
  return Object.hasOwn(body, 'input');
}

export async function createOpenAiEmbeddings(
  c: AppContext,
  deps: Dependencies,
  members: Readonly<Record<string, unknown>>,
): Promise<Response> {
  const body = validate(OpenAiEmbeddingsRequest, members);
  const model = retrievalModel(deps.models);
  expectModel(deps.models, body.model, 'retrieve');
  const { dimensions = model.itc_hidden, encoding_format = 'float' } = body;
  if (dimensions !== model.itc_hidden) {
    const detail = `dimensions: the embeddings of ${model.name} have ${model.itc_hidden}, and cannot be cut: leave it out.`;
    throw new ApiError('unsupported-parameter', detail, { field: 'dimensions' });
  }
  const inputs = embeddingInputs(body.input, 'input');
  const { vectors, tokens } = await embedInputs(deps, inputs, 'input', requestContextOf(c, deps));
  const reply: OpenAiEmbeddingsReply = {
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: encoding_format === 'float' ? vector : toBase64(vector),
    })),
    model: model.name,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
  const numbers = vectors.length * model.itc_hidden * (encoding_format === 'float' ? 1 : OF_BASE64);
  const headers = { 'cache-control': 'no-store', vary: 'accept' };
  return await largeJson(c, deps, reply, numbersCost(numbers, 'fewer inputs'), headers);
}

/** Float32 in little endian, which is what clients decode. */
function toBase64(vector: readonly number[]): string {
  const bytes = new DataView(new ArrayBuffer(vector.length * 4));
  for (const [i, value] of vector.entries()) bytes.setFloat32(i * 4, value, true);
  return new Uint8Array(bytes.buffer).toBase64();
}
