/** One text that the API wrote of a test scene, and whether it is right. */
import type { Scene } from '../scenes.ts';

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
