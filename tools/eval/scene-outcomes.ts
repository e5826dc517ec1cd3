/** What the API says of a test scene: its caption, its questions, a conversation about them, other wordings. */

import type { Turn } from '@blip2/shared/prompts';
import { AnswerReply } from '@blip2/shared/schemas/answers';
import { CaptionReply } from '@blip2/shared/schemas/captions';
import { expectOk, postJson } from '../api.ts';
import { readImage, type Scene } from '../scenes.ts';
import { otherWording, smallTalk } from './wordings.ts';

/** `kind` of text, and what it is grouped by. */
export type Outcome = {
  scene: Scene;
  kind: 'caption' | 'answer' | 'turn' | 'again' | 'wording' | 'no question';
  group: string;
  prompt: string;
  expected: string;
  got: string;
  /** Of a question that is asked again: the answer of the first time. */
  first?: string;
};

/** Questions of a conversation: each is sent with the earlier ones and their answers. */
const TURNS = 6;
/** Of these, so many are asked again in the end. */
const REPEATED = 4;

/**
 * Everything about a scene, one request after the other.
 * @param turn which of the other wordings and of the small talk it is this time
 */
export async function examineScene(url: string, scene: Scene, turn: number): Promise<Outcome[]> {
  const bytes = await readImage(scene);
  const response = await fetch(`${url}/v1/captions`, {
    method: 'POST',
    headers: { 'content-type': 'image/webp' },
    body: bytes,
  });
  const { caption } = CaptionReply.parse(await (await expectOk(response)).json());
  const captions = { kind: 'caption', group: scene.layout, prompt: '' } as const;
  const outcomes: Outcome[] = [{ scene, ...captions, expected: scene.caption, got: caption }];
  const ask = asking(url, bytes);
  for (const [i, { type: group, question, answer }] of scene.questions.entries()) {
    const got = await ask(question, []);
    outcomes.push({ scene, kind: 'answer', group, prompt: question, expected: answer, got });
    const wording = otherWording(question, turn + i);
    const other = { kind: 'wording', group, prompt: wording } as const;
    outcomes.push({ scene, ...other, expected: answer, got: await ask(wording, []) });
  }
  for (const text of smallTalk(turn)) {
    const talk = { kind: 'no question', group: text, prompt: text } as const;
    outcomes.push({ scene, ...talk, expected: scene.caption, got: await ask(text, []) });
  }
  return [...outcomes, ...(await converse(scene, ask))];
}

export type Ask = (question: string, history: readonly Turn[]) => Promise<string>;

/** @param bytes of the image, which is sent with each question: for InstructBLIP each is another look at it */
export function asking(url: string, bytes: Uint8Array): Ask {
  const image = { data: Buffer.from(bytes).toString('base64') };
  return async (question, history) => {
    const body = { image, question, history };
    return AnswerReply.parse(await postJson(`${url}/v1/answers`, body)).answer;
  };
}

/** A scene's questions in a conversation, the first of them again in the end: ten turns in all. */
export async function converse(scene: Scene, ask: Ask): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const history: Turn[] = [];
  const asked = scene.questions.slice(0, TURNS);
  for (const [turn, { question, answer }] of [...asked, ...asked.slice(0, REPEATED)].entries()) {
    const got = await ask(question, history);
    const group = `after ${turn} ${turn === 1 ? 'other' : 'others'}`;
    const outcome = { scene, group, prompt: question, expected: answer, got };
    const first = history.find((earlier) => earlier.question === question)?.answer;
    if (first !== undefined) outcomes.push({ ...outcome, kind: 'again', first });
    // The first is a question like any other.
    else if (turn > 0) outcomes.push({ ...outcome, kind: 'turn' });
    history.push({ question, answer: got });
  }
  return outcomes;
}

export function isRight({ expected, got }: Pick<Outcome, 'expected' | 'got'>): boolean {
  return isSame(expected, got);
}

/** Whether a question that is asked again has the answer of the first time. */
export function isUnchanged({ first, got }: Outcome): boolean {
  return first !== undefined && isSame(first, got);
}

function isSame(a: string, b: string): boolean {
  return a.trim().toLowerCase() === b.trim().toLowerCase();
}
