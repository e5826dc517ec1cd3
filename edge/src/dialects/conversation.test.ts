import { describe, expect, it } from 'vitest';
import { type Message, promptOf, readConversation } from './conversation.ts';

const image = (url: string, field = 'messages.0.image') => ({ url, field });
const user = (text: string, ...urls: string[]): Message => ({
  role: 'user',
  text,
  images: urls.map((url) => image(url)),
});
const assistant = (text: string): Message => ({ role: 'assistant', text, images: [] });
const system = (text: string): Message => ({ role: 'system', text, images: [] });
const read = (...messages: Message[]) => readConversation(messages, 'messages');

describe('a conversation', () => {
  it.each<[string, Message[], object]>([
    ['has its question last', [user('what?', 'a')], { question: 'what?', history: [] }],
    [
      'has an image of an earlier turn',
      [user('what?', 'a'), assistant('a dog'), user('red?')],
      { image: image('a'), history: [{ question: 'what?', answer: 'a dog' }], question: 'red?' },
    ],
    [
      'keeps all turns about an image that is sent with each',
      [user('what?', 'a'), assistant('a dog'), user('red?', 'a')],
      { history: [{ question: 'what?', answer: 'a dog' }], question: 'red?' },
    ],
    [
      'begins with the latest image',
      [
        user('what?', 'a'),
        assistant('a dog'),
        user('and this?', 'b'),
        assistant('a cat'),
        user('red?'),
      ],
      {
        image: image('b'),
        history: [{ question: 'and this?', answer: 'a cat' }],
        question: 'red?',
      },
    ],
    [
      'joins messages that follow each other',
      [user('', 'a'), user('is it'), user('red?')],
      { question: 'is it red?', history: [] },
    ],
    [
      'joins system messages, wherever they are',
      [
        system('Be brief.'),
        user('what?', 'a'),
        system('Be kind.'),
        assistant('a dog'),
        user('red?'),
      ],
      { system: 'Be brief. Be kind.', question: 'red?' },
    ],
    [
      'has a greeting of the assistant in front',
      [assistant('How can I help?'), user('what?', 'a')],
      { history: [], question: 'what?' },
    ],
    [
      'has a turn without words as one that asks for a description',
      [user('', 'a'), assistant('a dog'), user('red?')],
      { history: [{ question: 'Describe the image.', answer: 'a dog' }] },
    ],
    ['may have no image', [user('hello')], { image: undefined, question: 'hello' }],
    ['may have a system message alone', [system('hello')], { question: '', history: [] }],
    ['takes the same image twice as one', [user('what?', 'a', 'a')], { image: image('a') }],
  ])('%s', (_name, messages, expected) => {
    expect(read(...messages)).toMatchObject(expected);
  });

  it('refuses a message with two images, and one that begins the answer', () => {
    expect(() => read(user('what?', 'a', 'b'))).toThrow(/second image of one message/);
    expect(() => read(user('what?', 'a'), assistant('a'))).toThrow(/last message must be/);
  });
});

describe('the prompt', () => {
  const ask = (question: string, rest = {}) =>
    promptOf('opt', { system: '', history: [], question, ...rest });

  it.each([
    '',
    'Describe this image',
    'describe the picture.',
    'Please describe the image in detail.',
    'Can you describe this photo?',
    'Caption this image',
    'Write a caption.',
    'Write a short caption for the attached image, please.',
    'Generate a description of this photograph in one sentence.',
  ])('of %j is that of a caption', (text) => {
    expect(ask(text)).toBe('');
  });

  it.each([
    'describe the dog',
    'what is it?',
    'Describe the color of this image',
    'write a poem about this image',
    'caption contest: who wins?',
  ])('of %j is a question', (text) => {
    expect(ask(text)).toBe(`Question: ${text} Answer:`);
  });

  it('of a caption amid a conversation, or after instructions, is a question', () => {
    const history = [{ question: 'what?', answer: 'a dog' }];
    expect(ask('', { history })).toBe(
      'Question: what? Answer: a dog. Question: Describe the image. Answer:',
    );
    expect(ask('', { system: 'Be brief.' })).toBe(
      'Be brief. Question: Describe the image. Answer:',
    );
  });
});
