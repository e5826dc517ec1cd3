/** Writes a trace for chrome://tracing and Perfetto: the engine's actions, and the requests around them. */
import { createWriteStream, type WriteStream } from 'node:fs';
import type { EngineClient } from './engine/client.ts';

/** Thread of the engine's track. */
const ENGINE = 1;

/**
 * Writes events as they happen, in the JSON array format, whose last bracket may be missing: a worker that is killed
 * leaves a trace all the same.
 * @param path file to write; one that exists is replaced
 */
export function traceTo(path: string, engine: EngineClient): WriteStream {
  const file = createWriteStream(path);
  const write = (event: Record<string, unknown>) =>
    file.write(`${JSON.stringify({ pid: 1, ...event })},\n`);
  file.write('[\n');
  write({ ph: 'M', name: 'process_name', args: { name: 'GPU worker' } });
  write({ ph: 'M', name: 'thread_name', tid: ENGINE, args: { name: 'engine' } });
  /** Microseconds since the epoch. */
  const now = () => (performance.timeOrigin + performance.now()) * 1000;
  const request = (ph: 'b' | 'n' | 'e', id: number, name: string, args = {}) =>
    write({ ph, cat: 'request', id, name, ts: now(), args });
  const kinds = new Map<number, string>();
  engine.listen({
    onStats: ({ done, waiting }) => {
      if (done === null) return;
      const { action, startedAt, ms, rows } = done;
      write({
        ph: 'X',
        name: action,
        tid: ENGINE,
        ts: startedAt * 1000,
        dur: ms * 1000,
        args: { rows, waiting },
      });
    },
    onStart: (id, kind) => {
      kinds.set(id, kind);
      request('b', id, kind);
    },
    onTokens: (id, { token, seconds }) => {
      if (token === 'first') request('n', id, kinds.get(id) ?? '', { first_token_s: seconds });
    },
    onEnd: (id, kind, outcome) => {
      kinds.delete(id);
      request('e', id, kind, { outcome });
    },
    onRejected: () => write({ ph: 'i', s: 'g', name: 'rejected', ts: now() }),
  });
  return file;
}
