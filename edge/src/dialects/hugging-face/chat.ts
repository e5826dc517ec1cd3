/** Chat of Hugging Face's clients: OpenAI's, but for the name of the model. */
import { readJsonObject } from '../../http/request-body.ts';
import { type Handler, readingOf } from '../../routes/app-context.ts';
import { expectModel } from '../model-ids.ts';
import { completeChat } from '../openai/chat.ts';

/** What these clients write where their user named none: the address that they call, or a word for it. */
const NO_NAME = /^(https?:\/\/.*|dummy|tgi|)$/is;

/** Behind the name of a model in a path. */
const END = '/v1/chat/completions';

/** Chat where the path of a model ends so, else what `others` does. */
export const chatOr =
  (others: Handler): Handler =>
  (c, deps) =>
    c.req.param('id')?.endsWith(END) ? chat(c, deps) : others(c, deps);

export const chat: Handler = async (c, deps) => {
  const id = c.req.param('id')?.slice(0, -END.length);
  if (id !== undefined) expectModel(deps.models, id, 'generate');
  const members = await readJsonObject(c.req.raw, readingOf(c, deps));
  const { model = '' } = members;
  const isNamed = typeof model !== 'string' || !NO_NAME.test(model);
  const named = isNamed ? members : { ...members, model: deps.models.generate.name };
  return await completeChat(c, deps, named);
};
