import { describe, expect, it } from 'vitest';
import type { Standing } from '../protocol.ts';
import { compare, FairOrder } from './fair-queue.ts';

const standing = (client: string, priority: Standing['priority'] = 'interactive') => ({
  client,
  priority,
});

/** Jobs by name, the first in line first; each is begun. */
function served(order: FairOrder, jobs: [name: string, standing: Standing, rows?: number][]) {
  return jobs
    .map(([name, who, rows = 1]) => ({ name, place: order.join(who, rows) }))
    .sort((a, b) => compare(a.place, b.place))
    .map(({ name, place }) => {
      order.begin(place);
      return name;
    });
}

describe('the order of jobs', () => {
  it('of one client is that of their arrival', () => {
    const jobs = ['1', '2', '3'].map((name): [string, Standing] => [name, standing('a')]);
    expect(served(new FairOrder(), jobs)).toEqual(['1', '2', '3']);
  });

  it('alternates between clients, however many one of them sends', () => {
    const jobs: [string, Standing][] = [
      ['a1', standing('a')],
      ['a2', standing('a')],
      ['a3', standing('a')],
      ['b1', standing('b')],
      ['b2', standing('b')],
      ['c1', standing('c')],
    ];
    expect(served(new FairOrder(), jobs)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
  });

  it('counts what a job takes', () => {
    const jobs: [string, Standing, number][] = [
      ['wide', standing('a'), 3],
      ['after it', standing('a'), 1],
      ['b1', standing('b'), 1],
      ['b2', standing('b'), 1],
      ['b3', standing('b'), 1],
      ['b4', standing('b'), 1],
    ];
    expect(served(new FairOrder(), jobs)).toEqual(['wide', 'b1', 'b2', 'b3', 'after it', 'b4']);
  });

  it('puts interactive before background', () => {
    const jobs: [string, Standing][] = [
      ['job', standing('a', 'background')],
      ['person', standing('a')],
    ];
    expect(served(new FairOrder(), jobs)).toEqual(['person', 'job']);
  });

  it('gives a client no credit for the time it was away', () => {
    const order = new FairOrder();
    served(
      order,
      Array.from({ length: 9 }, (_, i) => [`${i}`, standing('a')]),
    );
    const jobs: [string, Standing][] = [
      ['a', standing('a')],
      ['b1', standing('b')],
      ['b2', standing('b')],
      ['b3', standing('b')],
    ];
    expect(served(order, jobs).indexOf('a')).toBeLessThan(2);
  });

  it('lets nobody who waits be overtaken for ever by clients who come anew', () => {
    const order = new FairOrder();
    order.begin(order.join(standing('a'), 1));
    const waiting = order.join(standing('a'), 1);
    let overtaken = 0;
    for (let i = 0; i < 100; i++) {
      const place = order.join(standing(`new ${i}`), 1);
      if (compare(place, waiting) > 0) break;
      order.begin(place);
      overtaken += 1;
    }
    expect(overtaken).toBeLessThan(5);
  });
});
