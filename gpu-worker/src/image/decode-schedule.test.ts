import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairQueue } from '../engine/scheduling/fair-queue.ts';
import { BASE_MEMORY, chargeOf, nextOf, type QueuedImage } from './decode-schedule.ts';

type Named = QueuedImage & { name: string };
const queue = () => {
  const fair = new FairQueue();
  return {
    fair,
    join: (client: string, name: string, memory?: number): Named => ({
      name,
      client,
      memory,
      ticket: fair.join(
        { client, priority: 'interactive' },
        Math.ceil((memory ?? 1) / BASE_MEMORY),
      ),
    }),
  };
};

/** Names in the order in which one process after another takes them; all that run have ended by then. */
function orderOf(fair: FairQueue, waiting: Named[], totalMemory = 2 ** 40): string[] {
  const names: string[] = [];
  let rest = waiting;
  while (rest.length > 0) {
    const next = nextOf(rest, [], { processes: 2, totalMemory })!;
    fair.begin(next.ticket);
    names.push(next.name);
    rest = rest.filter((image) => image !== next);
  }
  return names;
}

describe('which image is decoded next', () => {
  it('a caller with many images delays only itself', () => {
    const { fair, join } = queue();
    const greedy = [1, 2, 3, 4, 5].map((i) => join('greedy', `greedy ${i}`));
    const order = orderOf(fair, [...greedy, join('light', 'light')]);
    expect(order.slice(0, 2)).toContain('light');
  });

  it('a caller of heavy images waits as long as the memory it takes', () => {
    const { fair, join } = queue();
    const heavy = [1, 2, 3].map((i) => join('greedy', `heavy ${i}`, 5 * BASE_MEMORY));
    const light = [1, 2, 3, 4].map((i) => join('light', `light ${i}`, 1.5 * BASE_MEMORY));
    const order = orderOf(fair, [...heavy, ...light]);
    expect(order.indexOf('heavy 2')).toBeGreaterThan(order.indexOf('light 2'));
  });

  it('small images pass one that waits for memory, and no heavy one does', () => {
    const { join } = queue();
    const bounds = { processes: 3, totalMemory: 6 * BASE_MEMORY };
    const running = [join('a', 'running', 3 * BASE_MEMORY)];
    const large = join('a', 'large', 4 * BASE_MEMORY);
    const medium = join('b', 'medium', 1.5 * BASE_MEMORY);
    const waiting = [{ ...large, ticket: running[0]!.ticket }, medium];
    expect(nextOf(waiting, running, bounds)).toBeUndefined();
    expect(nextOf([...waiting, join('c', 'small')], running, bounds)).toMatchObject({
      name: 'small',
    });
    expect(nextOf(waiting, [], bounds)).toMatchObject({ name: 'large' });
  });

  it('one process is left for small images', () => {
    const { join } = queue();
    const bounds = { processes: 2, totalMemory: 2 ** 40 };
    const heavy = join('a', 'heavy', 2 * BASE_MEMORY);
    expect(nextOf([join('b', 'second', 2 * BASE_MEMORY)], [heavy], bounds)).toBeUndefined();
    const small = join('b', 'small');
    expect(nextOf([small], [heavy], bounds)).toBe(small);
  });

  it('all that runs stays within the memory there is', () => {
    const { fair, join } = queue();
    const bounds = { processes: 4, totalMemory: 8 * BASE_MEMORY };
    let waiting = Array.from({ length: 60 }, (_, i) =>
      join(`${i % 5}`, `${i}`, i % 3 === 0 ? undefined : (1 + (i % 4)) * BASE_MEMORY + 1),
    );
    let running: Named[] = [];
    while (waiting.length > 0) {
      const next = running.length < 4 ? nextOf(waiting, running, bounds) : undefined;
      if (next === undefined) {
        expect(running.length).toBeGreaterThan(0);
        running = running.slice(1);
        continue;
      }
      fair.begin(next.ticket);
      running.push(next);
      waiting = waiting.filter((image) => image !== next);
      const charged = running.reduce((sum, image) => sum + chargeOf(image), 0);
      expect(charged).toBeLessThanOrEqual(bounds.totalMemory);
    }
  });

  it('a client leaves one process to the others, while they have nothing to do too', () => {
    const { join } = queue();
    const bounds = { processes: 3, totalMemory: 2 ** 40 };
    const running = [join('greedy', 'first'), join('greedy', 'second')];
    const third = join('greedy', 'third');
    expect(nextOf([third], running, bounds)).toBeUndefined();
    expect(nextOf([third], running.slice(1), bounds)).toBe(third);
    const light = join('light', 'light');
    expect(nextOf([third, light], running, bounds)).toBe(light);
  });

  it('a client has the process that is alone', () => {
    const { join } = queue();
    const image = join('a', 'image');
    expect(nextOf([image], [], { processes: 1, totalMemory: 2 ** 40 })).toBe(image);
  });

  it.each(['', 'unnamed'])('those without a name, here "%s", have all processes', (client) => {
    const { join } = queue();
    const image = join(client, 'second');
    expect(nextOf([image], [join(client, 'first')], { processes: 2, totalMemory: 2 ** 40 })).toBe(
      image,
    );
  });

  it('a client of slow images holds time up for none that is served beside it, when another one comes', () => {
    const { fair, join } = queue();
    const bounds = { processes: 2, totalMemory: 2 ** 40 };
    const running: (Named & { ends: number })[] = [];
    let waiting: Named[] = [];
    let begun = 0;
    const keep = (client: string, most: number) => {
      const own = waiting.filter((image) => image.client === client).length;
      for (let i = own; i < most; i++) waiting.push(join(client, client));
    };
    // A slow image takes as long as forty of the others.
    for (let now = 0; now < 8000; now++) {
      for (const done of running.filter(({ ends }) => ends <= now)) {
        running.splice(running.indexOf(done), 1);
      }
      keep('slow', 2);
      if (now >= 4000) keep('second', 2);
      keep('team', 1);
      while (running.length < bounds.processes) {
        const image = nextOf(waiting, running, bounds);
        if (image === undefined) break;
        waiting = waiting.filter((each) => each !== image);
        fair.begin(image.ticket);
        running.push({ ...image, ends: now + (image.client === 'team' ? 1 : 40) });
        if (now >= 4000 && image.client === 'team') begun++;
      }
    }
    expect(begun).toBeGreaterThan(80);
  });

  it('background images of a client count as its others', () => {
    const { fair, join } = queue();
    const job = { ...join('greedy', 'item'), ticket: jobTicket(fair) };
    const bounds = { processes: 2, totalMemory: 2 ** 40 };
    expect(nextOf([job], [join('greedy', 'image')], bounds)).toBeUndefined();
    expect(nextOf([join('greedy', 'image')], [job], bounds)).toBeUndefined();
  });

  it('of the background, where it is overdue, one goes first, and no second one beside it', () => {
    const { fair, join } = queue();
    const bounds = { processes: 3, totalMemory: 2 ** 40 };
    const [first, second, image] = [join('a', 'first'), join('b', 'second'), join('c', 'image')];
    const jobs = [first, second].map((job) => ({ ...job, ticket: jobTicket(fair) }));
    const waiting = [image, ...jobs];
    const overdue = { ...bounds, isBackgroundOverdue: true };
    expect(nextOf(waiting, [], bounds)).toBe(image);
    expect(nextOf(waiting, [], overdue)).toBe(jobs[0]);
    expect(nextOf([image, jobs[1]!], [jobs[0]!], overdue)).toBe(image);
  });

  it('a large image whose client has its processes holds up no large one of others', () => {
    const { join } = queue();
    const bounds = { processes: 3, totalMemory: 2 ** 40 };
    const running = [join('greedy', 'first'), join('greedy', 'second')];
    const large = join('greedy', 'large', 2 * BASE_MEMORY);
    const other = join('other', 'other', 2 * BASE_MEMORY);
    expect(nextOf([large, other], running, bounds)).toBe(other);
  });

  it('whoever comes finds a process, whatever others sent before, and no image waits for ever', () => {
    const step = fc.record({
      client: fc.constantFrom('a', 'b'),
      isHeavy: fc.boolean(),
      ends: fc.nat(3),
    });
    const check = (
      processes: number,
      steps: { client: string; isHeavy: boolean; ends: number }[],
    ) => {
      const { fair, join } = queue();
      const bounds = { processes, totalMemory: 2 ** 40 };
      let waiting: Named[] = [];
      let running: Named[] = [];
      const dispatch = () => {
        while (running.length < processes) {
          const next = nextOf(waiting, running, bounds);
          if (next === undefined) return;
          fair.begin(next.ticket);
          waiting = waiting.filter((image) => image !== next);
          running.push(next);
        }
      };
      steps.forEach(({ client, isHeavy, ends }, i) => {
        waiting.push(join(client, `${i}`, isHeavy ? 2 * BASE_MEMORY : undefined));
        running = running.slice(ends);
        dispatch();
        const clients = new Set(running.map((image) => image.client));
        if (clients.size === 1) expect(running.length).toBeLessThan(processes);
      });
      while (waiting.length > 0) {
        expect(running.length).toBeGreaterThan(0);
        running = running.slice(1);
        dispatch();
      }
    };
    const steps = fc.array(step, { maxLength: 30 });
    fc.assert(fc.property(fc.integer({ min: 2, max: 4 }), steps, check));
  });
});

const jobTicket = (fair: FairQueue) => fair.join({ client: 'greedy', priority: 'background' }, 1);
