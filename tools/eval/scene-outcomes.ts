/** What the API says of a test scene: its caption, its questions, a conversation about them, other wordings. */

import { CaptionReply } from '@blip2/shared/schemas/captions';
import { expectOk } from '../api.ts';
import { readImage, type Scene } from '../scenes.ts';
import { asking, converse } from './conversations.ts';
import type { Outcome } from './outcome.ts';
import { otherWording, smallTalk } from './wordings.ts';

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
