/** What was said before decides nothing: the embedded model in conversations that repeat questions, and in small talk. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asking, converse } from '../../tools/eval/conversations.ts';
import { spread } from '../../tools/eval/datasets/run.ts';
import { isRight, isUnchanged, type Outcome } from '../../tools/eval/outcome.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { readImage, readScenes, type Scene } from '../../tools/scenes.ts';

/** Three of each layout, one by each artist. */
const SCENES = 12;

let stack: Stack;
let scenes: Scene[];
let outcomes: Outcome[];
beforeAll(async () => {
  const all = await readScenes();
  // All scenes of a layout and an artist stand together: thirty of them.
  scenes = spread(all, SCENES);
  stack = await startStack();
  const conversations = scenes.map(async (scene) =>
    converse(scene, asking(stack.url, await readImage(scene))),
  );
  outcomes = (await Promise.all(conversations)).flat();
});
afterAll(() => stack?.stop());

const described = ({ scene, group, prompt, first, expected, got }: Outcome) =>
  `${scene.file}, ${group}: ${prompt} ${got}, not ${first ?? expected}`;

describe('a conversation', () => {
  it('is about every layout and artist', () => {
    expect(new Set(scenes.map(({ layout, artist }) => `${layout} ${artist}`)).size).toBe(SCENES);
  });

  it.each(['at once', 'later'])(
    'gives a question that is asked again, %s, the same answer',
    (when) => {
      const again = outcomes.filter(({ kind, group }) => kind === 'again' && group === when);
      expect(again.length).toBeGreaterThanOrEqual(SCENES);
      expect(again.filter((outcome) => !isUnchanged(outcome)).map(described)).toEqual([]);
    },
  );

  it('that was about yes and no alone does not keep what the picture shows from being said', () => {
    const open = outcomes.filter(({ group }) => group.endsWith('of yes and no'));
    expect(open).toHaveLength(SCENES);
    expect(open.filter((outcome) => !isRight(outcome)).map(described)).toEqual([]);
  });
});

describe('a text that is no question', () => {
  it.each(['hello', 'Hello!', 'good evening', 'thanks'])(
    'gets the whole caption: %s',
    async (text) => {
      const replies = scenes.map(async (scene) => {
        const ask = asking(stack.url, await readImage(scene));
        return { file: scene.file, got: await ask(text, []) };
      });
      const captions = scenes.map(({ file, caption }) => ({ file, got: caption }));
      expect(await Promise.all(replies)).toEqual(captions);
    },
  );
});
