import { expect, it } from 'vitest';
import { Sequence, SequenceGroup } from './sequence.ts';
import { promptAbout } from './testing/fake-decoder.ts';
import { groupOf, requestOf } from './testing/groups.ts';

it('a sequence begins with its whole prompt unread and nothing cached', () => {
  const sequence = new Sequence(groupOf(1, promptAbout(0, 2, 3, 4)), 5);
  expect(sequence).toMatchObject({ slot: 5, unreadIds: 3, cachedPositions: 0, isPrefilled: false });
  sequence.unreadIds = 0;
  expect(sequence.isPrefilled).toBe(true);
});

it('a group needs a slot for each running choice or beam', () => {
  expect(groupOf(1).slots).toBe(1);
  expect(groupOf(1, undefined, { num_beams: 4 }).slots).toBe(4);
  const group = groupOf(1, undefined, { n: 3, temperature: 1, max_tokens: 1 });
  expect(group.slots).toBe(3);
  group.strategy.advance([new Float32Array(4)]);
  expect(group.slots).toBe(0);
});

it('a group is background work when its request is', () => {
  const { prompt, strategy } = groupOf(1);
  const ticket = { rank: 1, start: 0, cost: 1, arrival: 0 };
  expect(groupOf(1).isBackground).toBe(false);
  expect(new SequenceGroup(requestOf(1, { ticket }), prompt, strategy).isBackground).toBe(true);
});
