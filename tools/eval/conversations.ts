/** Conversations about a test scene: what was said before, the same question included, decides nothing. */
import type { Turn } from '@blip2/shared/prompts';
import { AnswerReply } from '@blip2/shared/schemas/answers';
import { postJson } from '../api.ts';
import type { Scene } from '../scenes.ts';
import type { Outcome } from './outcome.ts';

type Ask = (question: string, history: readonly Turn[]) => Promise<string>;

/** @param bytes of the image, which is sent with each question: for InstructBLIP each is another look at it */
export function asking(url: string, bytes: Uint8Array): Ask {
  const image = { data: Buffer.from(bytes).toString('base64') };
  return async (question, history) => {
    const body = { image, question, history };
    return AnswerReply.parse(await postJson(`${url}/v1/answers`, body)).answer;
  };
}

/** Different questions at the beginning of a conversation. */
const DIFFERENT = 6;
/** Turns of a conversation in which every answer is yes or no, before another question. */
const ALIKE = 7;

/**
 * Two conversations. In the first, of up to ten turns, the last of six questions is asked twice in a row, then the
 * first three again. In the second what the image shows is asked after seven questions whose answers are yes or no,
 * the same ones going round.
 * The first question has no history, so it is in no outcome.
 */
export async function converse(scene: Scene, ask: Ask): Promise<Outcome[]> {
  const asked = scene.questions.slice(0, DIFFERENT);
  const again = [...asked.slice(-1), ...asked.slice(0, 3)];
  const [, ...mixed] = await converseAbout(scene, [...asked, ...again], ask);

  const closed = scene.questions.filter(({ answer }) => answer === 'yes' || answer === 'no');
  const open = scene.questions.find(({ type }) => type === 'what');
  if (closed.length === 0 || open === undefined) return mixed;
  const alike = Array.from({ length: ALIKE }, (_, i) => closed[i % closed.length]!);
  const monotonous = await converseAbout(scene, [...alike, open], ask);
  // Of the first questions the other conversation tells more.
  return [...mixed, ...monotonous.slice(closed.length).map(ofAlike)];
}

function ofAlike(outcome: Outcome): Outcome {
  return outcome.kind === 'again' ? outcome : { ...outcome, group: `after ${ALIKE} of yes and no` };
}

/** Each question is sent with the earlier ones and the answers that they got. */
async function converseAbout(
  scene: Scene,
  questions: Scene['questions'],
  ask: Ask,
): Promise<Outcome[]> {
  const history: Turn[] = [];
  const outcomes: Outcome[] = [];
  for (const { question, answer } of questions) {
    const got = await ask(question, history);
    const outcome = { scene, prompt: question, expected: answer, got };
    const first = history.find((earlier) => earlier.question === question)?.answer;
    const turn = history.length;
    if (first === undefined) {
      const group = `after ${turn} ${turn === 1 ? 'other' : 'others'}`;
      outcomes.push({ ...outcome, kind: 'turn', group });
    } else {
      const group = history.at(-1)?.question === question ? 'at once' : 'later';
      outcomes.push({ ...outcome, kind: 'again', group, first });
    }
    history.push({ question, answer: got });
  }
  return outcomes;
}
