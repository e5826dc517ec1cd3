import { EventSourceParserStream } from 'eventsource-parser/stream';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ServerEvent, sseResponse } from './sse.ts';

afterEach(() => {
  vi.useRealTimers();
});

const options = {
  heartbeatMs: 500,
  onCancel: () => {},
  format: (event: ServerEvent) => event,
  formatError: (thrown: unknown) => ({ event: 'error', data: String(thrown) }),
};

async function* of(...events: ServerEvent[]): AsyncGenerator<ServerEvent> {
  yield* events;
}

describe('server-sent events', () => {
  it('are sent one by one', async () => {
    const response = await sseResponse(of({ event: 'token', data: { text: 'a\nb' } }), options);
    expect(await response.text()).toBe('event: token\ndata: {"text":"a\\nb"}\n\n');
  });

  it('that are there are one write, and one that is waited for does not hold them back', async () => {
    const gate = Promise.withResolvers<void>();
    const gated = async function* (): AsyncGenerator<ServerEvent> {
      yield* of({ event: 'a', data: 1 }, { event: 'b', data: 2 });
      await gate.promise;
      yield { event: 'c', data: 3 };
    };
    const reader = (await sseResponse(gated(), options)).body!.getReader();
    const read = async () => new TextDecoder().decode((await reader.read()).value);
    expect(await read()).toBe('event: a\ndata: 1\n\nevent: b\ndata: 2\n\n');
    gate.resolve();
    expect(await read()).toBe('event: c\ndata: 3\n\n');
    expect((await reader.read()).done).toBe(true);
  });

  it('end with an event for what was thrown', async () => {
    const broken = async function* (): AsyncGenerator<ServerEvent> {
      yield { event: 'token', data: 1 };
      throw new Error('oh');
    };
    expect(await (await sseResponse(broken(), options)).text()).toBe(
      'event: token\ndata: 1\n\nevent: error\ndata: "Error: oh"\n\n',
    );
  });

  it('do not begin when the first of them fails at once', async () => {
    const refused = async function* (): AsyncGenerator<ServerEvent> {
      yield await Promise.reject(new Error('no image'));
    };
    await expect(sseResponse(refused(), options)).rejects.toThrow('no image');
  });

  it('are a comment every half second while nothing flows', async () => {
    vi.useFakeTimers();
    const gate = Promise.withResolvers<void>();
    const slow = async function* (): AsyncGenerator<ServerEvent> {
      await gate.promise;
      yield { event: 'done', data: 1 };
    };
    const opening = sseResponse(slow(), options);
    await vi.advanceTimersByTimeAsync(500);
    const reader = ((await opening).body as ReadableStream<Uint8Array>).getReader();
    const next = async () => new TextDecoder().decode((await reader.read()).value);
    for (let beat = 0; beat < 3; beat++) {
      const read = next();
      await vi.advanceTimersByTimeAsync(500);
      expect(await read).toBe(': \n\n');
    }
    gate.resolve();
    await vi.advanceTimersByTimeAsync(1000);
    const rest = [await next()];
    while (!rest.at(-1)?.includes('done')) rest.push(await next());
    expect(rest.at(-1)).toBe('event: done\ndata: 1\n\n');
  });

  it('report that the client has gone away, and end their source', async () => {
    const onCancel = vi.fn();
    let ended = false;
    const endless = async function* (): AsyncGenerator<ServerEvent> {
      try {
        for (;;) yield { event: 'token', data: 1 };
      } finally {
        ended = true;
      }
    };
    const { body } = await sseResponse(endless(), { ...options, onCancel });
    const reader = (body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await reader.cancel();
    expect(onCancel).toHaveBeenCalledOnce();
    expect(ended).toBe(true);
  });

  it("of any names and data are what another library's parser reads", async () => {
    const events = fc.array(
      fc.record({ event: fc.stringMatching(/^[a-z]{1,8}$/), data: fc.jsonValue() }),
      { maxLength: 5 },
    );
    await fc.assert(
      fc.asyncProperty(events, async (sent) => {
        const { body } = await sseResponse(of(...sent), options);
        const stream = (body as ReadableStream<Uint8Array>)
          .pipeThrough(new TextDecoderStream())
          .pipeThrough(new EventSourceParserStream());
        const received: ServerEvent[] = [];
        for await (const { event = '', data } of stream) {
          received.push({ event, data: JSON.parse(data) });
        }
        expect(received).toEqual(JSON.parse(JSON.stringify(sent)));
      }),
    );
  });
});

it('a stream that counts ends when all of it was taken, and breaks off where nobody takes it', async () => {
  const said: string[] = [];
  const canceled = Promise.withResolvers<void>();
  const open = async (stalledMs: number) =>
    await sseResponse(
      (async function* () {
        yield 'a';
      })(),
      {
        format: (item) => item,
        formatError: () => '',
        heartbeatMs: 60_000,
        onCancel: canceled.resolve,
        reading: {
          stalledMs,
          whileRead: async (bytes) => void said.push(`has ${bytes}`),
          onEnd: () => said.push('end'),
        },
      },
    );
  const reader = (await open(60_000)).body!.getReader();
  await vi.waitFor(() => expect(said).toEqual(['has 0', 'has 1']));
  await reader.read();
  expect((await reader.read()).done).toBe(true);
  expect(said).toEqual(['has 0', 'has 1', 'end']);
  const unread = await open(1);
  await canceled.promise;
  await expect(unread.text()).rejects.toThrow('stopped reading');
});
