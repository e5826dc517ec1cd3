/** A conversation of messages, as chat clients send it, made what BLIP-2 reads: one image and one prompt. */
import type { EdgeModel } from '@blip2/shared/edge-model';
import { ApiError } from '@blip2/shared/errors';
import { answerPrompt, type Turn } from '@blip2/shared/prompts';

/** An image as a message names it; `isFile`: by the id of a file that was uploaded. */
export type MessageImage = { url: string; field: string; isFile?: boolean };

export type Message = {
  /** `tool`: what a tool replied, which the model reads as if the user had said it. */
  role: 'system' | 'user' | 'assistant' | 'tool';
  text: string;
  images: readonly MessageImage[];
};

/** Earlier turns, the question that they lead to, and what stands before all of them. */
export type Conversation = {
  image: MessageImage | undefined;
  system: string;
  history: Turn[];
  /** '' where nothing is asked: then it is a caption. */
  question: string;
};

/**
 * The image may be in any message; where there are several, the latest counts, and what was said before another image
 * is about that one and left out.
 * @param field the member of the request that holds the messages
 * @throws ApiError `several-images` for one message with several, `invalid-request` where the user has not the last word
 * @example
 * const image = { url: 'https://…', field: 'messages.0.content.1.image_url.url' };
 * readConversation([{ role: 'user', text: 'what is it?', images: [image] }], 'messages').question; // 'what is it?'
 */
export function readConversation(messages: readonly Message[], field: string): Conversation {
  const system = joined(messages.filter(({ role }) => role === 'system'));
  const image = imageOf(messages.findLast(({ images }) => images.length > 0)?.images ?? []);
  const said = sinceImage(messages, image).filter(({ role }) => role !== 'system');
  const last = said.at(-1)?.role;
  if (messages.length > 0 && messages.every(({ role }) => role === 'system')) {
    return { image, system, history: [], question: '' };
  }
  if (last !== 'user' && last !== 'tool') {
    const detail = `${field}: the last message must be the user's: an answer cannot be begun for the model.`;
    throw new ApiError('invalid-request', detail, { field });
  }
  const history: Turn[] = [];
  let asked: Message[] = [];
  for (const message of said) {
    if (message.role !== 'assistant') asked.push(message);
    else if (asked.length === 0 && history.length === 0) {
      // A greeting answers nothing.
    } else {
      history.push({ question: joined(asked) || DESCRIBE, answer: message.text });
      asked = [];
    }
  }
  return { image, system, history, question: joined(asked) };
}

/**
 * Whether a message of the model is the call of a tool and nothing else. A call is no text of the conversation: its
 * result is, which stands in a message of its own.
 */
export function isCallAlone(
  { role, text, images }: Message,
  calls: readonly unknown[] | null | undefined,
): boolean {
  const hasCalls = (calls ?? []).length > 0;
  return hasCalls && role === 'assistant' && text.trim() === '' && images.length === 0;
}

/**
 * Refuses a message in which the user says and shows nothing: its words are under another name, which nothing reads.
 * @param field of the message
 * @throws ApiError `invalid-request`
 */
export function expectContent(
  { role, images }: Pick<Message, 'role' | 'images'>,
  content: unknown,
  field: string,
): void {
  if (role !== 'user' || content !== undefined || images.length > 0) return;
  const detail = `${field}.content: is required of the user's messages.`;
  throw new ApiError('invalid-request', detail, { field: `${field}.content` });
}

/** How a caption is asked for amid a conversation. */
const DESCRIBE = 'Describe the image.';

/** A text that asks for a caption and nothing else. */
const CAPTION_REQUEST = new RegExp(
  [
    /^(please,? |can you |could you |would you )?(please )?(briefly )?/,
    /(describe|caption|(write|give|generate|create|make|provide)( me)?( an?| one)?( \w+)? (caption|description)( of| for)?)/,
    /( (this|the|that|my|attached|provided|following))*( (image|picture|photo|photograph|scene))?/,
    /( in (detail|one sentence|a sentence|a few words|words)| briefly| for me|,? please)*[.!?:]*$/,
  ]
    .map(({ source }) => source)
    .join(''),
  'i',
);

/** Characters that a request for a caption may have. */
const LONGEST = 200;

/**
 * The prompt's text: the template of captions where only that is asked for, else that of questions.
 * @example promptOf('opt', { system: '', history: [], question: 'what?' }) // 'Question: what? Answer:'
 */
export function promptOf(
  family: EdgeModel['family'],
  { system, history, question }: Pick<Conversation, 'system' | 'history' | 'question'>,
): string {
  const asked = question.trim();
  const isCaption =
    asked === '' ||
    (asked.length <= LONGEST && CAPTION_REQUEST.test(asked.replaceAll(/\s+/g, ' ')));
  if (isCaption && system === '' && history.length === 0) return '';
  const before = system === '' ? '' : `${system} `;
  return `${before}${answerPrompt(family, asked || DESCRIBE, history)}`;
}

const joined = (messages: readonly Message[]) =>
  messages
    .map(({ text }) => text.trim())
    .filter((text) => text !== '')
    .join(' ');

/** @throws ApiError `several-images` */
function imageOf(images: readonly MessageImage[]): MessageImage | undefined {
  const [first, ...others] = images;
  const other = others.find(({ url }) => url !== first?.url);
  if (other === undefined) return first;
  const detail = `${other.field}: is a second image of one message, and the model sees one: send a request for each.`;
  throw new ApiError('several-images', detail, { field: other.field });
}

/** The messages about the latest image: those from the first on that has it, after the last that has another. */
function sinceImage(
  messages: readonly Message[],
  image: MessageImage | undefined,
): readonly Message[] {
  const another = messages.findLastIndex(({ images }) =>
    images.some(({ url }) => url !== image?.url),
  );
  if (another === -1) return messages;
  const next = messages.findIndex(
    ({ images }, index) => index > another && images.some(({ url }) => url === image?.url),
  );
  return messages.slice(next);
}
