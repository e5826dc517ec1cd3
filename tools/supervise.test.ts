/** Supervision of small programs that are killed, stopped, compute for long, or do not start. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { BACKOFF, countFailure, delayOf } from './backoff.ts';
import { lookAt, type Part, type Running, type Supervision, supervise } from './supervise.ts';

describe('the wait before a start', () => {
  it('is none, then doubles up to its cap, for ever', () => {
    const waits = [1, 2, 3, 4, 5, 6, 7, 8, 1000].map((failures) => delayOf(failures));
    expect(waits).toEqual([0, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  });

  it.each([
    [0, 0, 1],
    [3, 59_999, 4],
    [3, 60_000, 1],
  ])(
    'after %i failures counts one of a part that ran for %i ms as the %i.',
    (before, ms, after) => {
      expect(countFailure(before, ms, BACKOFF)).toBe(after);
    },
  );
});

/** Serves `GET /` with a status, dies at `GET /die`, and computes for so many milliseconds, or for ever, at `GET /spin?500`. */
const PROGRAM = `
  const server = require('node:http').createServer(({ url }, response) => {
    if (url === '/die') process.exit(7);
    if (url === '/spin') for (;;);
    const until = Date.now() + Number(url.split('?')[1] ?? 0);
    while (Date.now() < until);
    response.statusCode = Number(process.env.STATUS);
    response.end(JSON.stringify({ detail: 'The engine is asleep.' }));
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;

const children: ChildProcess[] = [];
let supervision: Supervision | undefined;
afterEach(async () => {
  await supervision?.stop();
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

async function launch(status = 200): Promise<Running & { child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, ['-e', PROGRAM], {
    env: { ...process.env, STATUS: String(status) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [port] = await once(child.stdout as NodeJS.ReadableStream, 'data');
  const url = `http://127.0.0.1:${String(port).trim()}`;
  const exited = once(child, 'exit');
  return {
    child,
    url,
    ended: exited.then(() => child.signalCode ?? `code ${child.exitCode}`),
    look: (signal) => lookAt(url, signal, ({ ok }) => ok),
    pid: async () => child.pid ?? 0,
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Supervises a program; `said` settles with the next line that matches. */
function keep(first: Running, start: Part['start'] = () => launch(), busyMs = 60_000) {
  const lines: string[] = [];
  let heard = () => {};
  supervision = supervise(
    {
      name: 'The part',
      meanwhile: 'Nothing is served.',
      patience: { silent: 2, busyMs, closed: 20 },
      start,
    },
    first,
    {
      report: (line) => {
        lines.push(line);
        heard();
      },
      backoff: { firstMs: 1, capMs: 4, calmMs: 60_000 },
      lookMs: 5,
      answerMs: { usual: 100, busy: 100 },
    },
  );
  const said = async (text: RegExp, times = 1) => {
    while (lines.filter((line) => text.test(line)).length < times) {
      await new Promise<void>((resolve) => {
        heard = resolve;
      });
    }
  };
  return { lines, said };
}

describe('a supervised part', () => {
  it('that is killed is started again, each time', async () => {
    const first = await launch();
    const { lines, said } = keep(first);
    for (let i = 0; i < 3; i++) {
      children.at(-1)?.kill('SIGKILL');
      await said(/is back after \d+\.\d s\.$/, i + 1);
    }
    expect(lines[0]).toBe('The part ended (SIGKILL). Nothing is served. Another is started …');
    expect(children).toHaveLength(4);
  });

  it('that exits is started again', async () => {
    const first = await launch();
    const { lines, said } = keep(first);
    await fetch(`${first.url}/die`).catch(() => {});
    await said(/is back/);
    expect(lines[0]).toMatch(/^The part ended \(code 7\)\./);
  });

  it('that is stopped is killed and replaced', async () => {
    const first = await launch();
    const { lines, said } = keep(first);
    first.child.kill('SIGSTOP');
    await said(/is back/);
    expect(lines[0]).toMatch(/^The part does not answer any more\./);
    expect(first.child.signalCode).toBe('SIGKILL');
  });

  it.runIf(process.platform === 'linux')('that computes meanwhile is waited for', async () => {
    const first = await launch();
    const { lines } = keep(first);
    // Twenty looks get no answer.
    await fetch(`${first.url}/spin?2000`);
    expect(lines).toEqual([]);
    expect(first.child.signalCode).toBeNull();
  });

  it.runIf(process.platform === 'linux')('that computes for ever is replaced', async () => {
    const first = await launch();
    const { lines, said } = keep(first, undefined, 500);
    fetch(`${first.url}/spin`).catch(() => {});
    await said(/is back/);
    expect(lines[0]).toMatch(/^The part computes, but has not answered for \d+ s\. Nothing/);
    expect(first.child.signalCode).toBe('SIGKILL');
  });

  it('that says itself what is wrong is killed and replaced', async () => {
    const first = await launch(503);
    const { lines, said } = keep(first);
    await said(/is back/);
    expect(lines[0]).toMatch(/^The part hangs: The engine is asleep\. Nothing/);
    expect(first.child.signalCode).toBe('SIGKILL');
  });

  it('that nobody reaches is replaced', async () => {
    const first = await launch();
    const { lines, said } = keep({
      ...first,
      look: (signal) => lookAt('http://127.0.0.1:1', signal, () => true),
    });
    await said(/is back/);
    expect(lines[0]).toMatch(/^The part accepts no connections any more\./);
  });

  it('that does not start is tried again for ever, and that it fails is said clearly', async () => {
    let starts = 0;
    const { lines, said } = keep(await launch(), async () => {
      starts += 1;
      if (starts < 8) throw new Error('No space is left.');
      return launch();
    });
    children[0]?.kill('SIGKILL');
    await said(/is back/);
    expect(lines[1]).toMatch(/^The part did not start: No space is left\. Next try in \d\.\d s\.$/);
    expect(lines.filter((line) => line.includes('has failed'))[0]).toMatch(
      /^The part has failed 5 times in a row: a new start alone does not mend it\./,
    );
    expect(starts).toBe(8);
  });

  it('is not started once its supervision has ended', async () => {
    const starting = Promise.withResolvers<void>();
    keep(await launch(), async (signal) => {
      starting.resolve();
      await once(signal, 'abort');
      throw signal.reason;
    });
    children[0]?.kill('SIGKILL');
    await starting.promise;
    await supervision?.stop();
    expect(children).toHaveLength(1);
  });
});
