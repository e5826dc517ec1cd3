/** `POST /api/chat` and `POST /api/generate`: a conversation, and a question, about an image. */
import {
  type OllamaChatReply,
  OllamaChatRequest,
  type OllamaGenerateReply,
  OllamaGenerateRequest,
} from '@blip2/shared/schemas/ollama/text';
import { validate } from '@blip2/shared/validate';
import { readJsonObject } from '../../http/request-body.ts';
import { type Handler, readingOf } from '../../routes/app-context.ts';
import { expectContent, isCallAlone, type Message, readConversation } from '../conversation.ts';
import { refuse } from '../refuse.ts';
import { expectOllamaModel } from './model-names.ts';
import { optionsOf, refuseUndone } from './options.ts';
import { loadedReply, writeOllamaReply } from './reply.ts';

const inMessage = (content: string): Pick<OllamaChatReply, 'message'> => ({
  message: { role: 'assistant', content },
});
const inResponse = (response: string): Pick<OllamaGenerateReply, 'response'> => ({ response });

export const chatOnOllama: Handler = async (c, deps) => {
  const body = validate(OllamaChatRequest, await readJsonObject(c.req.raw, readingOf(c, deps)));
  const { model, messages = [], tools = [], stream, truncate = true } = body;
  expectOllamaModel(deps.models, model, 'generate');
  refuseUndone(body);
  refuse('tools', tools.length > 0, 'this model calls no tools: leave it out');
  if (messages.length === 0) return loadedReply(c, deps, { model, place: inMessage });
  return await writeOllamaReply(c, deps, {
    model,
    stream,
    place: inMessage,
    conversation: readConversation(
      messages.flatMap(({ role, content, images, tool_calls }, at) => {
        const shown = named(images, `messages.${at}.images`);
        const message: Message = { role, text: content ?? '', images: shown };
        expectContent(message, content, `messages.${at}`);
        return isCallAlone(message, tool_calls) ? [] : [message];
      }),
      'messages',
    ),
    options: optionsOf(body, deps.models.generate),
    field: 'messages',
    mayTruncate: truncate,
  });
};

export const generateOnOllama: Handler = async (c, deps) => {
  const body = validate(OllamaGenerateRequest, await readJsonObject(c.req.raw, readingOf(c, deps)));
  const { model, prompt = '', images, system = '', suffix = '', raw, context = [], stream } = body;
  expectOllamaModel(deps.models, model, 'generate');
  refuseUndone(body);
  refuse('suffix', suffix !== '', 'nothing is written in between: leave it out');
  refuse('raw', raw === true, 'the prompt is the template of the model: leave it out');
  refuse('context', context.length > 0, 'send the conversation to /api/chat: leave it out');
  const shown = named(images, 'images');
  if (prompt === '' && shown.length === 0) {
    return loadedReply(c, deps, { model, place: inResponse });
  }
  const question: Message = { role: 'user', text: prompt, images: shown };
  return await writeOllamaReply(c, deps, {
    model,
    stream,
    place: inResponse,
    conversation: { ...readConversation([question], 'prompt'), system },
    options: optionsOf(body, deps.models.generate),
    field: 'prompt',
  });
};

function named(images: readonly string[] = [], field: string): Message['images'] {
  return images.map((url, at) => ({ url, field: `${field}.${at}` }));
}
