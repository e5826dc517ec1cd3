import { describe, expect, it } from 'vitest';
import type { Standing } from '../protocol.ts';
import { compareTickets, FairQueue } from './fair-queue.ts';

const standing = (client: string, priority: Standing['priority'] = 'interactive') => ({
  client,
  priority,
});

/** Jobs by name, the first in line first; each is begun. */
function served(queue: FairQueue, jobs: [name: string, standing: Standing, slots?: number][]) {
  return jobs
    .map(([name, who, slots = 1]) => ({ name, ticket: queue.join(who, slots) }))
    .sort((a, b) => compareTickets(a.ticket, b.ticket))
    .map(({ name, ticket }) => {
      queue.begin(ticket);
      return name;
    });
}

describe('the order of jobs', () => {
  it('of one client is that of their arrival', () => {
    const jobs = ['1', '2', '3'].map((name): [string, Standing] => [name, standing('a')]);
    expect(served(new FairQueue(), jobs)).toEqual(['1', '2', '3']);
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
    expect(served(new FairQueue(), jobs)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
  });

  it('counts the slots that a job takes', () => {
    const jobs: [string, Standing, number][] = [
      ['wide', standing('a'), 3],
      ['after it', standing('a'), 1],
      ['b1', standing('b'), 1],
      ['b2', standing('b'), 1],
      ['b3', standing('b'), 1],
      ['b4', standing('b'), 1],
    ];
    expect(served(new FairQueue(), jobs)).toEqual(['wide', 'b1', 'b2', 'b3', 'after it', 'b4']);
  });

  it('puts interactive before background', () => {
    const jobs: [string, Standing][] = [
      ['job', standing('a', 'background')],
      ['person', standing('a')],
    ];
    expect(served(new FairQueue(), jobs)).toEqual(['person', 'job']);
  });

  it('gives a client no credit for the time it was away', () => {
    const queue = new FairQueue();
    served(
      queue,
      Array.from({ length: 9 }, (_, i) => [`${i}`, standing('a')]),
    );
    const jobs: [string, Standing][] = [
      ['a', standing('a')],
      ['b1', standing('b')],
      ['b2', standing('b')],
      ['b3', standing('b')],
    ];
    expect(served(queue, jobs).indexOf('a')).toBeLessThan(2);
  });

  it('lets nobody who waits be overtaken for ever by clients who come anew', () => {
    const queue = new FairQueue();
    queue.begin(queue.join(standing('a'), 1));
    const waiting = queue.join(standing('a'), 1);
    let overtaken = 0;
    for (let i = 0; i < 100; i++) {
      const ticket = queue.join(standing(`new ${i}`), 1);
      if (compareTickets(ticket, waiting) > 0) break;
      queue.begin(ticket);
      overtaken += 1;
    }
    expect(overtaken).toBeLessThan(5);
  });
});
