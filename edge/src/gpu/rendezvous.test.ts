import { describe, expect, it } from 'vitest';
import { byPreference, type Node } from './rendezvous.ts';

const KEYS = Array.from({ length: 6000 }, (_, i) => `image ${i}`);
const node = (url: string, weight = 1): Node => ({ url, weight });
const first = (nodes: Node[]) => KEYS.map((key) => byPreference(nodes, key)[0]?.url);
const share = (owners: (string | undefined)[], url: string) =>
  owners.filter((owner) => owner === url).length / owners.length;

describe('the worker of an image', () => {
  const three = [node('https://a'), node('https://b'), node('https://c')];

  it('is the same whatever the order of the list', () => {
    expect(first([...three].reverse())).toEqual(first(three));
  });

  it('is each of equal ones alike', () => {
    const owners = first(three);
    for (const { url } of three) expect(share(owners, url)).toBeCloseTo(1 / 3, 1);
  });

  it('is one of more weight more often, by as much', () => {
    const owners = first([node('https://a', 3), node('https://b', 1)]);
    expect(share(owners, 'https://a')).toBeCloseTo(0.75, 1);
  });

  it('changes only for the images of one that is gone', () => {
    const before = first(three);
    const after = first(three.slice(0, 2));
    for (const [i, owner] of before.entries()) {
      if (owner !== 'https://c') expect(after[i]).toBe(owner);
    }
    expect(share(after, 'https://a')).toBeCloseTo(0.5, 1);
  });

  it('moves to one that is new or stays', () => {
    const before = first(three);
    const after = first([...three, node('https://d')]);
    const moved = after.filter((owner, i) => owner !== before[i]);
    expect(new Set(moved)).toEqual(new Set(['https://d']));
    expect(moved.length / after.length).toBeCloseTo(0.25, 1);
  });
});
