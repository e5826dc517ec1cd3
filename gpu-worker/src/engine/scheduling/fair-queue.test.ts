import { describe, expect, it } from 'vitest';
import type { Caller } from '../protocol.ts';
import { compareTickets, FairQueue } from './fair-queue.ts';

const caller = (client: string, priority: Caller['priority'] = 'interactive') => ({
  client,
  priority,
});

/** Jobs by name, the first in line first; each is begun. */
function served(queue: FairQueue, jobs: [name: string, caller: Caller, slots?: number][]) {
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
    const jobs = ['1', '2', '3'].map((name): [string, Caller] => [name, caller('a')]);
    expect(served(new FairQueue(), jobs)).toEqual(['1', '2', '3']);
  });

  it('alternates between clients, however many one of them sends', () => {
    const jobs: [string, Caller][] = [
      ['a1', caller('a')],
      ['a2', caller('a')],
      ['a3', caller('a')],
      ['b1', caller('b')],
      ['b2', caller('b')],
      ['c1', caller('c')],
    ];
    expect(served(new FairQueue(), jobs)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
  });

  it('charges a client for the slots of its jobs', () => {
    const jobs: [string, Caller, number][] = [
      ['wide', caller('a'), 3],
      ['after it', caller('a'), 1],
      ['b1', caller('b'), 1],
      ['b2', caller('b'), 1],
      ['b3', caller('b'), 1],
      ['b4', caller('b'), 1],
    ];
    expect(served(new FairQueue(), jobs)).toEqual(['wide', 'b1', 'b2', 'b3', 'after it', 'b4']);
  });

  it('puts interactive before background', () => {
    const jobs: [string, Caller][] = [
      ['job', caller('a', 'background')],
      ['person', caller('a')],
    ];
    expect(served(new FairQueue(), jobs)).toEqual(['person', 'job']);
  });

  it('gives a client no credit for the time it was away', () => {
    const queue = new FairQueue();
    served(
      queue,
      Array.from({ length: 9 }, (_, i) => [`${i}`, caller('a')]),
    );
    const jobs: [string, Caller][] = [
      ['a', caller('a')],
      ['b1', caller('b')],
      ['b2', caller('b')],
      ['b3', caller('b')],
    ];
    expect(served(queue, jobs).indexOf('a')).toBeLessThan(2);
  });

  it('charges a client nothing for what it gives up before it begins', () => {
    const queue = new FairQueue();
    queue.begin(queue.join(caller('a'), 1));
    const abandoned = Array.from({ length: 50 }, () => queue.join(caller('a'), 8));
    for (const ticket of [...abandoned, ...abandoned]) queue.leave('a', ticket);
    const jobs: [string, Caller][] = [
      ['a1', caller('a')],
      ['b1', caller('b')],
      ['b2', caller('b')],
      ['a2', caller('a')],
    ];
    expect(served(queue, jobs).indexOf('a1')).toBeLessThan(2);
  });

  it('charges in full what has begun, though it is given up', () => {
    const queue = new FairQueue();
    const begun = queue.join(caller('a'), 8);
    queue.join(caller('b'), 1);
    queue.begin(begun);
    queue.leave('a', begun);
    expect(queue.join(caller('a'), 1).start).toBe(8);
  });

  it('lets nobody pass whoever comes next by beginning with the last of theirs', () => {
    const queue = new FairQueue();
    const own = Array.from({ length: 20 }, () => queue.join(caller('a'), 8));
    const last = queue.join(caller('a'), 1);
    queue.begin(own[0] as (typeof own)[number]);
    queue.begin(last);
    const other = queue.join(caller('b'), 8);
    const before = own.slice(1).filter((ticket) => compareTickets(ticket, other) < 0);
    expect(before.length).toBeLessThanOrEqual(1);
  });

  it('counts what is prepared as waiting, and charges it though it is given up', () => {
    const queue = new FairQueue();
    const prepared = Array.from({ length: 5 }, () => queue.join(caller('a'), 8));
    for (const ticket of prepared) queue.prepare(ticket);
    expect(queue.hasBegun(prepared[4] as (typeof prepared)[number])).toBe(true);
    expect(queue.join(caller('b'), 8).start).toBe(0);
    for (const ticket of prepared) queue.leave('a', ticket);
    expect(queue.join(caller('a'), 1).start).toBe(40);
  });

  it('keeps time for nobody that waits: who is served meanwhile comes behind no newcomer for it', () => {
    const queue = new FairQueue();
    queue.begin(queue.join(caller('wide'), 8));
    const blocked = queue.join(caller('wide'), 8);
    for (let i = 0; i < 500; i++) queue.begin(queue.join(caller('team'), 1));
    const newcomers = Array.from({ length: 30 }, () => queue.join(caller('new'), 1));
    const next = queue.join(caller('team'), 1);
    expect(compareTickets(blocked, next)).toBeLessThan(0);
    const before = newcomers.filter((ticket) => compareTickets(ticket, next) < 0);
    expect(before.length).toBeLessThanOrEqual(2);
  });

  it('owes a client that could not be served one job, and not all that it has sent', () => {
    const queue = new FairQueue();
    const own = Array.from({ length: 20 }, () => queue.join(caller('wide'), 8));
    queue.begin(own.shift() as (typeof own)[number]);
    for (let i = 0; i < 500; i++) queue.begin(queue.join(caller('team'), 1));
    const other = queue.join(caller('other'), 8);
    queue.begin(own.shift() as (typeof own)[number]);
    const before = own.filter((ticket) => compareTickets(ticket, other) < 0);
    expect(before.length).toBeLessThanOrEqual(1);
    expect(own.map(({ start }) => start)).toEqual(own.map((_, i) => own[0]!.start + 8 * i));
    expect(queue.join(caller('wide'), 1).start).toBe(own.at(-1)!.start + 8);
  });

  it('charges small jobs that pass a large one of their client, but not one upon the other', () => {
    const queue = new FairQueue();
    queue.join(caller('team'), 8);
    for (let i = 0; i < 500; i++) queue.begin(queue.join(caller('team'), 1));
    expect(queue.join(caller('new'), 1).start).toBeLessThanOrEqual(1);
    expect(queue.join(caller('team'), 1).start).toBe(9);
  });

  it('serves a waiting job although new clients keep coming', () => {
    const queue = new FairQueue();
    queue.begin(queue.join(caller('a'), 1));
    const waiting = queue.join(caller('a'), 1);
    let overtaken = 0;
    for (let i = 0; i < 100; i++) {
      const ticket = queue.join(caller(`new ${i}`), 1);
      if (compareTickets(ticket, waiting) > 0) break;
      queue.begin(ticket);
      overtaken += 1;
    }
    expect(overtaken).toBeLessThan(5);
  });
});
