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
  it('are written one by one', async () => {
    const response = await sseResponse(of({ event: 'token', data: { text: 'a\nb' } }), options);
    expect(await response.text()).toBe('event: token\ndata: {"text":"a\\nb"}\n\n');
  });

  it('end with an event that says what broke', async () => {
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

  it('tell when the client goes away, and end the source', async () => {
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
});
