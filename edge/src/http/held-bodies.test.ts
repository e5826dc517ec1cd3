import { describe, expect, it, vi } from 'vitest';
import { type HeldBody, holdBody } from './held-bodies.ts';

const MEBIBYTE = 2 ** 20;
const LIMIT = 4 * MEBIBYTE;
let clients = 0;
const FREE = 64 * 1024;
const open = (client = `${++clients}`) => holdBody(LIMIT, { client, ms: 30_000 });
const overloaded = expect.objectContaining({ slug: 'overloaded' });

it('a body that is alone may have any size, as its own limit is another', () => {
  const body = open();
  body.add(9 * MEBIBYTE);
  body.close();
});

it('large bodies share the limit, and one that is refused or closed leaves it to the others', () => {
  const [first, second, third] = [open(), open(), open()];
  first.add(2 * MEBIBYTE + FREE);
  second.add(2 * MEBIBYTE + FREE);
  expect(() => third.add(MEBIBYTE)).toThrow(overloaded);
  third.close();
  second.close();
  const fourth = open();
  fourth.add(MEBIBYTE + FREE);
  expect(() => fourth.add(2 * MEBIBYTE)).toThrow(overloaded);
  first.close();
  fourth.add(2 * MEBIBYTE);
  fourth.close();
});

it('bodies without an image are read beside large ones', () => {
  const large = open();
  large.add(9 * MEBIBYTE);
  const small = Array.from({ length: 20 }, () => open());
  for (const body of small) body.add(FREE);
  for (const body of [large, ...small]) body.close();
});

it('many ordinary bodies of one client count together', () => {
  const half = Array.from({ length: 32 }, () => open('one of many bodies'));
  for (const body of half) body.add(2 * FREE);
  const beyond = open('one of many bodies');
  expect(() => beyond.add(2 * FREE)).toThrow(
    expect.objectContaining({ slug: 'too-many-requests' }),
  );
  for (const body of [...half, beyond]) body.close();
});

it('nothing is left of bodies that were closed', () => {
  const [one, other] = [open(), open()];
  one.add(4 * MEBIBYTE + FREE);
  one.close();
  one.close();
  other.add(FREE);
  other.add(4 * MEBIBYTE);
  other.close();
});

it('one whose request was stopped, and which nobody closes, counts no longer than it may take', () => {
  let time = Date.now();
  const openAt = () => holdBody(LIMIT, { client: `${++clients}`, ms: 30_000, now: () => time });
  openAt().add(4 * MEBIBYTE);
  const [early, late] = [openAt(), openAt()];
  expect(() => early.add(3 * MEBIBYTE)).toThrow(overloaded);
  early.close();
  time += 30_001;
  late.add(3 * MEBIBYTE);
  late.close();
});

it('nothing is left of one whose client goes away', () => {
  const client = new AbortController();
  const { signal } = client;
  const gone = holdBody(LIMIT, { client: 'goes away', ms: 3_600_000, signal });
  gone.add(4 * MEBIBYTE + FREE);
  const [early, late] = [open(), open()];
  expect(() => early.add(3 * MEBIBYTE)).toThrow(overloaded);
  early.close();
  client.abort();
  late.add(3 * MEBIBYTE);
  // What still comes of it, or of a client that has gone before, counts no more.
  gone.add(MEBIBYTE);
  holdBody(LIMIT, { client: 'has gone', ms: 3_600_000, signal }).add(4 * MEBIBYTE + FREE);
  late.add(MEBIBYTE);
  late.close();
});

it('one client has half of it, however many bodies it sends, and others have the rest', () => {
  const [first, second, third, other] = [open('a'), open('a'), open('a'), open('b')];
  first.add(MEBIBYTE + FREE);
  second.add(MEBIBYTE + FREE);
  expect(() => third.add(MEBIBYTE)).toThrow(
    expect.objectContaining({ slug: 'too-many-requests', status: 429 }),
  );
  third.close();
  other.add(2 * MEBIBYTE + FREE);
  for (const body of [first, second, other]) body.close();
});

it('uploads, which may take an hour, leave bodies what is theirs', () => {
  const upload = (client: string) => holdBody(LIMIT, { client, ms: 30_000, kind: 'upload' });
  const [first, second, third, body] = [upload('a'), upload('b'), upload('c'), open('d')];
  first.add(MEBIBYTE + FREE);
  second.add(MEBIBYTE + FREE);
  expect(() => third.add(MEBIBYTE)).toThrow(overloaded);
  body.add(4 * MEBIBYTE);
  for (const held of [first, second, third, body]) held.close();
});

describe('where there is no room', () => {
  const KIBIBYTE = 1024;

  /** Two bodies of two clients that fill the limit, so many seconds ago, and of which as much comes since. */
  function full(seconds: number, perSecond = KIBIBYTE) {
    let time = 1_000_000;
    const now = () => time;
    const [one, two] = [0, 1].map((index) => {
      const body = holdBody(LIMIT, { client: `${++clients}`, ms: 3_600_000, now });
      body.add(2 * MEBIBYTE + FREE - index);
      const waits = body.during(new Promise<string>(() => {})).catch(({ slug }) => slug);
      return { body, waits };
    }) as [Waiting, Waiting];
    const passes = (ms: number) => {
      for (let left = ms; left > 0; left -= 1000) {
        time += Math.min(left, 1000);
        if (left >= 1000)
          for (const { body } of [one, two]) body.add(perSecond + (body === one.body ? 1 : 0), 0);
      }
    };
    passes(1000 * seconds);
    const newcomer = holdBody(LIMIT, { client: `${++clients}`, ms: 30_000, now });
    const close = () => {
      for (const body of [one.body, two.body, newcomer]) body.close();
    };
    return { one, two, newcomer, passes, close };
  }
  type Waiting = { body: HeldBody; waits: Promise<string> };

  it('the slowest body gives way to somebody who sends faster', async () => {
    const { one, two, newcomer, passes, close } = full(60);
    passes(1000);
    newcomer.add(MEBIBYTE);
    expect(await two.waits).toBe('overloaded');
    // What still comes of it counts no more.
    two.body.add(2 * MEBIBYTE);
    newcomer.add(MEBIBYTE);
    expect(await Promise.race([one.waits, 'goes on'])).toBe('goes on');
    close();
  });

  it('a slow body gives way to a faster one of its own client, too', async () => {
    let time = 0;
    const held = () => holdBody(LIMIT, { client: 'same', ms: 3_600_000, now: () => time });
    const slow = held();
    slow.add(2 * MEBIBYTE + FREE);
    const waits = slow.during(new Promise<string>(() => {})).catch(({ slug }) => slug);
    time += 60_000;
    const fast = held();
    time += 100;
    fast.add(MEBIBYTE);
    expect(await waits).toBe('overloaded');
    for (const body of [slow, fast]) body.close();
  });

  it.each([
    ['that came lately', 4, 100, 0],
    ['that comes fast', 8, 100, 300 * KIBIBYTE],
    ['that comes half as slowly as the newcomer', 60, 4000, 160 * KIBIBYTE],
  ])('none gives way %s', async (_, seconds, ms, perSecond) => {
    const { one, two, newcomer, passes, close } = full(seconds, perSecond);
    passes(ms);
    expect(() => newcomer.add(MEBIBYTE)).toThrow(overloaded);
    expect(await Promise.race([one.waits, two.waits, 'go on'])).toBe('go on');
    close();
  });

  it('one that came fast, and has stopped, gives way', async () => {
    const { one, two, newcomer, passes, close } = full(8, 0);
    passes(100);
    newcomer.add(MEBIBYTE);
    expect(await Promise.race([one.waits, two.waits])).toBe('overloaded');
    close();
  });

  it('one that was stored meanwhile is as fast as it was before', async () => {
    let time = 0;
    const now = () => time;
    const [stored, newcomer] = ['stores', 'comes'].map((client) =>
      holdBody(LIMIT, { client, ms: 3_600_000, now }),
    ) as [HeldBody, HeldBody];
    stored.add(4 * MEBIBYTE + FREE);
    await stored.during(Promise.resolve());
    time += 60_000;
    void stored.during(new Promise(() => {}));
    time += 100;
    expect(() => newcomer.add(MEBIBYTE)).toThrow(overloaded);
    for (const body of [stored, newcomer]) body.close();
  });

  it('one that is being stored gives way to nobody', () => {
    let time = 0;
    const now = () => time;
    const stored = holdBody(LIMIT, { client: 'stores', ms: 3_600_000, now });
    stored.add(4 * MEBIBYTE + FREE);
    time += 60_000;
    const newcomer = holdBody(LIMIT, { client: 'comes', ms: 30_000, now });
    time += 100;
    expect(() => newcomer.add(MEBIBYTE)).toThrow(overloaded);
    for (const body of [stored, newcomer]) body.close();
  });

  it('what comes and is not held counts for the pace alone', () => {
    let time = 0;
    const now = () => time;
    const [long, newcomer] = ['long', 'new'].map((client) =>
      holdBody(LIMIT, { client, ms: 3_600_000, now }),
    ) as [HeldBody, HeldBody];
    void long.during(new Promise(() => {}));
    long.add(4 * MEBIBYTE + FREE);
    for (let second = 0; second < 60; second++) {
      time += 1000;
      long.add(512 * KIBIBYTE, 0);
    }
    expect(() => newcomer.add(MEBIBYTE)).toThrow(overloaded);
    for (const body of [long, newcomer]) body.close();
  });
});

it('one that is renewed counts on, and one that is not counts as closed', () => {
  let time = 0;
  const now = () => time;
  const sent = holdBody(LIMIT, { client: 'sent', ms: 1000, now });
  const newcomer = holdBody(LIMIT, { client: 'newcomer', ms: 30_000, now });
  sent.add(4 * MEBIBYTE + FREE);
  time = 900;
  sent.renew();
  time = 1800;
  expect(() => newcomer.add(MEBIBYTE)).toThrow(overloaded);
  time = 2000;
  newcomer.add(MEBIBYTE);
  sent.close();
  sent.renew();
  newcomer.add(MEBIBYTE);
  newcomer.close();
});

describe('a reply', () => {
  const KIBIBYTE = 1024;

  /** One of so many bytes that waits for its client, beside a body or another reply that comes later. */
  function sent(bytes: number, client = `${++clients}`, kind: 'body' | 'reply' = 'body') {
    let time = 1_000_000;
    const now = () => time;
    const reply = holdBody(LIMIT, { client, ms: 60_000, kind: 'reply', now });
    reply.begin();
    reply.add(0, bytes + FREE);
    const asked = Promise.withResolvers<void>();
    const waits = reply.during(asked.promise).then(
      () => 'read',
      ({ slug }) => slug,
    );
    const passes = (seconds: number, perSecond = 0) => {
      for (let second = 0; second < seconds; second++) {
        time += 1000;
        reply.add(perSecond, 0);
      }
    };
    const newcomer = (of = `${++clients}`) =>
      holdBody(LIMIT, { client: of, ms: 30_000, kind, now });
    return { reply, waits, asked, passes, newcomer };
  }

  it.each(['of another', 'unnamed', 'same'])(
    'that nobody reads gives way to a body: %s',
    async (of) => {
      const { reply, waits, passes, newcomer } = sent(4 * MEBIBYTE, of);
      passes(6);
      const body = newcomer(of === 'of another' ? undefined : of);
      passes(1);
      body.add(2 * MEBIBYTE);
      expect(await waits).toBe('overloaded');
      // What is made of it meanwhile counts no more.
      reply.add(0, 4 * MEBIBYTE);
      body.add(MEBIBYTE);
      for (const held of [reply, body]) held.close();
    },
  );

  it.each([
    ['that its client reads', 300 * KIBIBYTE, 'body'],
    ['that its client reads slowly, to another reply', 32 * KIBIBYTE, 'reply'],
  ] as const)('%s goes on', async (_, perSecond, kind) => {
    const { reply, waits, passes, newcomer } = sent(4 * MEBIBYTE, undefined, kind);
    passes(20, perSecond);
    const other = newcomer();
    expect(() => other.add(0, 2 * MEBIBYTE)).toThrow(overloaded);
    expect(await Promise.race([waits, 'goes on'])).toBe('goes on');
    for (const held of [reply, other]) held.close();
  });

  it('whose source is slow goes on', async () => {
    const { reply, waits, asked, passes, newcomer } = sent(4 * MEBIBYTE);
    asked.resolve();
    expect(await waits).toBe('read');
    passes(20);
    const body = newcomer();
    expect(() => body.add(2 * MEBIBYTE)).toThrow(overloaded);
    for (const held of [reply, body]) held.close();
  });

  it('that waits again before the last wait has ended may still give way', async () => {
    const { reply, asked, passes, newcomer } = sent(4 * MEBIBYTE);
    asked.resolve();
    const waits = reply.during(new Promise<string>(() => {})).catch(({ slug }) => slug);
    await null;
    passes(6);
    const body = newcomer();
    passes(1);
    body.add(2 * MEBIBYTE);
    expect(await waits).toBe('overloaded');
    for (const held of [reply, body]) held.close();
  });

  it('that was alone may have more than replies have, which keeps no body out', () => {
    const reply = (client: string) => holdBody(LIMIT, { client, ms: 30_000, kind: 'reply' });
    const [large, other, body, late] = [reply('large'), reply('other'), open(), open()];
    large.add(0, 8 * MEBIBYTE);
    body.add(MEBIBYTE);
    expect(() => late.add(MEBIBYTE)).toThrow(overloaded);
    late.close();
    expect(() => other.add(0, MEBIBYTE)).toThrow(overloaded);
    for (const held of [large, other]) held.close();
    // Beside a body, none has more.
    const beside = reply('beside');
    expect(() => beside.add(0, 3 * MEBIBYTE + 2 * FREE)).toThrow(overloaded);
    for (const held of [beside, body]) held.close();
  });

  it('of which a slice is being read has its pace, whenever it is looked at', async () => {
    let time = 1_000_000;
    const now = () => time;
    const hold = (client: string) => holdBody(LIMIT, { client, ms: 600_000, kind: 'reply', now });
    const reply = hold('reads slices');
    reply.add(0, 3 * MEBIBYTE + FREE);
    const waits = reply.during(new Promise(() => {})).catch(() => 'gave way');
    // 16.8 KiB a second.
    for (let step = 1; step <= 400; step++) {
      time += 50;
      if (step % 19 === 0) reply.add(16 * KIBIBYTE, 0);
      const newcomer = hold('comes');
      expect(() => newcomer.add(0, MEBIBYTE)).toThrow(overloaded);
      newcomer.close();
    }
    expect(await Promise.race([waits, 'goes on'])).toBe('goes on');
    reply.close();
  });

  it.each([
    ['the slowest of the client that has most gives way', 1, 'greedy 0'],
    ['that is read slowly, and steadily, goes on', 17, 'refused'],
  ])('of several: %s', async (_, greedyKib, ends) => {
    let time = 1_000_000;
    const now = () => time;
    const ended: string[] = [];
    const hold = (name: string, client: string, bytes: number) => {
      const reply = holdBody(LIMIT, { client, ms: 600_000, kind: 'reply', now });
      reply.begin();
      reply.add(0, bytes + FREE);
      void reply.during(new Promise(() => {})).catch(() => ended.push(name));
      return reply;
    };
    const honest = hold('honest', `reads ${++clients}`, MEBIBYTE);
    const greedy = `greedy ${++clients}`;
    const many = [0, 1].map((n) => hold(`greedy ${n}`, greedy, MEBIBYTE));
    const newcomer = holdBody(LIMIT, { client: `${++clients}`, ms: 30_000, kind: 'reply', now });
    // Where any stands still, it is the honest one that does most.
    for (let second = 1; second <= 60; second++) {
      time += 1000;
      honest.add(greedyKib > 16 ? 17 * KIBIBYTE : 0, 0);
      for (const [n, reply] of many.entries()) reply.add(greedyKib * KIBIBYTE + n, 0);
    }
    time += 900;
    try {
      newcomer.add(0, MEBIBYTE);
    } catch (thrown) {
      expect(thrown).toEqual(overloaded);
      ended.push('refused');
    }
    await vi.waitFor(() => expect(ended.join()).toBe(ends));
    for (const held of [honest, ...many, newcomer]) held.close();
  });

  it('leaves bodies a quarter of the memory, however many there are', () => {
    const replies = Array.from({ length: 8 }, () =>
      holdBody(LIMIT, { client: `${++clients}`, ms: 30_000, kind: 'reply' }),
    );
    const refused = replies.filter((reply) => {
      try {
        reply.add(0, MEBIBYTE + FREE);
        return false;
      } catch (thrown) {
        expect(thrown).toEqual(overloaded);
        reply.close();
        return true;
      }
    });
    expect(refused).toHaveLength(5);
    const body = open();
    body.add(MEBIBYTE + FREE);
    for (const held of [...replies, body]) held.close();
  });

  it('is one of so many that one client has at a time', () => {
    const client = 'reads nothing';
    const hold = () => holdBody(LIMIT, { client, ms: 30_000, kind: 'reply' });
    const replies = Array.from({ length: 129 }, hold);
    for (const reply of replies.slice(1)) reply.begin();
    expect(() => replies[0]?.begin()).toThrow(
      expect.objectContaining({
        slug: 'too-many-requests',
        message:
          'This client has 128 large replies under way, as many as one may have now: read them, or end them.',
      }),
    );
    const other = open();
    other.begin();
    for (const held of [...replies, other]) held.close();
    hold().begin();
  });
});

it('bodies of those whom nobody tells apart have all of it together', () => {
  const bodies = Array.from({ length: 5 }, () => open('unnamed'));
  for (const body of bodies.slice(1)) body.add(MEBIBYTE + FREE);
  expect(() => bodies[0]?.add(MEBIBYTE + FREE)).toThrow(overloaded);
  for (const body of bodies) body.close();
});

it('documents that are the same for all keep no other reply out, and have a bound', () => {
  const options = { ms: 30_000, kind: 'reply' } as const;
  const documents = Array.from({ length: 256 }, (_, n) => {
    return holdBody(LIMIT, { ...options, client: `reader ${n}`, isDocument: true });
  });
  for (const document of documents) document.begin();
  const reply = holdBody(LIMIT, { ...options, client: 'somebody else' });
  reply.begin();
  const beyond = holdBody(LIMIT, { ...options, client: 'one more', isDocument: true });
  expect(() => beyond.begin()).toThrow(overloaded);
  documents[0]?.close();
  beyond.begin();
  for (const body of [...documents, reply, beyond]) body.close();
});
