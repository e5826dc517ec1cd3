/** `blip2` at a whole service: as people type it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { ApiError, problemResponse } from '@blip2/shared/errors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { startForwarder } from '../support/forwarder.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SCENE = join(ROOT, 'test/scenes/pair-noto-00.webp');
const CAPTION = 'a pizza above an octopus on a gray background';

const folder = temporaryFolder();
let stack: Stack;
let image: string;
beforeAll(async () => {
  stack = await startStack({ jobs: true });
  image = `data:image/webp;base64,${(await readFile(SCENE)).toString('base64')}`;
  await mkdir(join(folder, 'photos/below'), { recursive: true });
  await copyFile(SCENE, join(folder, 'photos/b.webp'));
  await copyFile(SCENE, join(folder, 'photos/below/a.webp'));
  await writeFile(join(folder, 'photos/notes.txt'), 'no image');
  await writeFile(join(folder, 'photos/.hidden'), '');
});
afterAll(() => stack?.stop());

type Ended = { code: number | null; output: string; errors: string };

function start(args: readonly string[], url = stack.url): ChildProcess {
  return spawn(process.execPath, [join(ROOT, 'tools/blip2.ts'), ...args], {
    cwd: folder,
    env: { ...process.env, BLIP2_URL: url },
  });
}

async function endOf(child: ChildProcess): Promise<Ended> {
  const [output, errors] = [text(child.stdout!), text(child.stderr!)];
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output: await output, errors: await errors };
}

async function run(args: readonly string[], { url, input }: { url?: string; input?: string } = {}) {
  const child = start(args, url);
  child.stdin!.end(input);
  return await endOf(child);
}

const write = (name: string, lines: readonly unknown[]) =>
  writeFile(
    join(folder, name),
    lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'),
  );
const linesOf = (output: string) => output.trim().split('\n');
const parsed = (output: string) =>
  linesOf(output).map((line) => JSON.parse(line) as Record<string, never>);

/** A fault that answers every request with an error. */
const refusing = (error: ApiError) => (_request: unknown, response: ServerResponse) => {
  const { status, headers } = problemResponse(error);
  response.writeHead(status, Object.fromEntries(headers)).end(JSON.stringify(error.toProblem()));
  return true;
};

describe('blip2 caption and ask', () => {
  it('write the text of one image, and that of several behind their names', async () => {
    const one = await run(['caption', SCENE]);
    expect(one).toEqual({ code: 0, output: `${CAPTION}\n`, errors: '' });
    const several = await run(['caption', 'photos/b.webp', 'photos/notes.txt', SCENE]);
    expect(several.code).toBe(1);
    expect(linesOf(several.output)).toEqual([`photos/b.webp: ${CAPTION}`, `${SCENE}: ${CAPTION}`]);
    expect(several.errors).toMatch(/^photos\/notes\.txt: photos\/notes\.txt is /);
    const asked = await run(['ask', SCENE, 'what is above the octopus?']);
    expect(asked).toEqual({ code: 0, output: 'a pizza\n', errors: '' });
  });

  it('send settings, and read standard input and JSON', async () => {
    const args = ['caption', SCENE, '--prompt', 'a pizza above', '--max-tokens', '3', '--json'];
    const { output } = await run([...args, '--set', 'logprobs=true']);
    const reply = JSON.parse(output) as { caption: string; logprobs: object[] };
    expect(reply.logprobs).toHaveLength(3);
    const drawn = await run(['ask', SCENE, 'what is it?', '--set', 'n=2', '--set', 'num_beams=2']);
    expect(linesOf(drawn.output)).toHaveLength(2);
  });

  it('warn of an image that the model knows nothing of', async () => {
    const drawing = join(ROOT, 'test/foreign/drawing/drawing-00.webp');
    const { code, output, errors } = await run(['caption', drawing]);
    expect({ code, lines: linesOf(output).length }).toEqual({ code: 0, lines: 1 });
    expect(errors).toMatch(/drawing-00\.webp: This image is unlike .+BLIP2_CHECKPOINT=Salesforce/);
    const several = await run(['caption', drawing, SCENE, drawing, '--json']);
    expect(linesOf(several.errors)).toHaveLength(1);
    expect(several.errors).toMatch(/^\S+drawing-00\.webp, \S+drawing-00\.webp: This image/);
  });

  it('say what is wrong, and what to do about it', async () => {
    const refused = await run(['caption', SCENE, '--set', 'max_tokens=-1']);
    expect(refused.code).toBe(3);
    expect(linesOf(refused.errors)).toEqual([
      '400 The request is not valid',
      expect.stringContaining('max_tokens'),
      expect.stringContaining('`detail`'),
    ]);
    const away = await run(['caption', SCENE], { url: 'http://127.0.0.1:2' });
    expect(away.code).toBe(4);
    expect(away.errors).toContain('npm start');
    expect(await run(['caption', 'nowhere.jpg'])).toMatchObject({
      code: 2,
      errors: 'There is no file nowhere.jpg.\n',
    });
    expect(await run(['caption', 'photos'])).toMatchObject({
      code: 2,
      errors: 'photos is a folder: blip2 jobs create takes folders.\n',
    });
    expect(await run(['run-batch', '-i', 'photos', '-o', '-'])).toMatchObject({
      code: 2,
      errors: 'photos is a folder: run-batch takes a file.\n',
    });
  });

  it('have the version of the package', async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
    expect(await run(['--version'])).toEqual({ code: 0, output: `${version}\n`, errors: '' });
  });
});

describe('blip2 jobs', () => {
  it('caption a folder: created, watched, and read in order, named by paths', async () => {
    const created = await run([
      ...['jobs', 'create', 'photos', '--task', 'caption', '--watch', '--metadata', 'album=17'],
    ]);
    expect(created).toMatchObject({ code: 0 });
    expect(created.errors).toContain('completed: 2 of 2 completed');
    const id = created.output.trim();
    const results = await run(['jobs', 'results', id]);
    expect(parsed(results.output)).toMatchObject([
      { id: 'b.webp', result: { caption: CAPTION } },
      { id: 'below/a.webp', result: { caption: CAPTION } },
    ]);
    await run(['jobs', 'results', id, '--format', 'csv', '-o', 'captions.csv']);
    const table = await readFile(join(folder, 'captions.csv'), 'utf8');
    expect(table).toContain(`b.webp,0:0,200,${CAPTION},`);
    const listed = await run(['jobs', 'list', '--limit', '1']);
    expect(linesOf(listed.output)[1]).toMatch(`${id}  completed  caption  2/2        0`);
    const [job] = parsed((await run(['jobs', 'list', '--json'])).output);
    expect(job).toMatchObject({ id, metadata: { album: '17' } });
  });

  it('tell once, beside the results, that texts are guesses', async () => {
    await mkdir(join(folder, 'drawings'));
    const drawing = join(ROOT, 'test/foreign/drawing/drawing-00.webp');
    for (const name of ['a', 'b']) await copyFile(drawing, join(folder, `drawings/${name}.webp`));
    await copyFile(SCENE, join(folder, 'drawings/c.webp'));
    const words = '2 of the texts are guesses: their images are unlike all that the model was';
    const once = (errors: string) => linesOf(errors).filter((line) => line.startsWith(words));
    const created = await run(['jobs', 'create', 'drawings', '--watch']);
    expect(once(created.errors)).toHaveLength(1);
    const id = created.output.trim();
    const table = await run(['jobs', 'results', id, '--format', 'csv']);
    expect(table.output.split('\r\n')[0]).toBe('id,cursor,status,caption,error,warnings');
    expect(table.output).toMatch(/^a\.webp,.*,,outside-training\r$/m);
    expect(table.output).toMatch(/^c\.webp,.*,,\r$/m);
    for (const args of [[], ['-o', 'guesses.jsonl']]) {
      expect(once((await run(['jobs', 'results', id, ...args])).errors)).toHaveLength(1);
    }
    expect(once(table.errors)).toHaveLength(1);
    const ofScene = await run(['jobs', 'results', id, '--status', 'failed']);
    expect(ofScene).toMatchObject({ code: 0, errors: '' });
    const body = {
      image: `data:image/webp;base64,${(await readFile(drawing)).toString('base64')}`,
    };
    const request = { custom_id: 'one', method: 'POST', url: '/v1/captions', body };
    const input = JSON.stringify(request);
    const batch = await run(['run-batch', '-i', '-', '-o', '-'], { input });
    expect(batch.errors).toContain('1 of the texts is a guess: its image is unlike');
  });

  it('take patterns and lines, make several jobs of many, and leave out what cannot be sent', async () => {
    await write('lines.jsonl', [{ id: 'x', image }, '', 'https://images.example.org/a.webp']);
    await writeFile(join(folder, 'photos/tree.tiff'), 'II*\0 and more');
    const args = ['jobs', 'create', 'photos/*.*', 'lines.jsonl', '--max-items', '2'];
    const created = await run([...args, '--idempotency-key', crypto.randomUUID()]);
    expect(created.code).toBe(1);
    expect(created.errors).toContain('photos/tree.tiff is left out: it is a TIFF image');
    expect(linesOf(created.output)).toHaveLength(2);
    const [first = '', second = ''] = linesOf(created.output);
    expect((await run(['jobs', 'watch', first, second])).code).toBe(1);
    const ids = [first, second].map(async (id) =>
      parsed((await run(['jobs', 'results', id])).output).map((line) => line.id),
    );
    expect(await Promise.all(ids)).toEqual([
      ['photos/b.webp', 'x'],
      ['https://images.example.org/a.webp'],
    ]);
  });

  it('upload many lines as a file, and are one job for one key', async () => {
    const many = Array.from({ length: 1001 }, (_, i) => ({ id: `${i}`, image: 'none' }));
    await write('many.jsonl', many);
    const created = await run(['jobs', 'create', 'many.jsonl', '--watch']);
    expect(created.errors).toContain('0 of 1001 completed, 1001 failed');
    expect(created.code).toBe(1);
    const again = await run(['jobs', 'retry', created.output.trim(), '--watch']);
    expect(again.errors).toContain('1001 failed');
    expect(again.output).not.toBe(created.output);
    const args = ['jobs', 'create', 'many.jsonl', '--set', 'seed=7'];
    const keyed = [...args, '--idempotency-key', crypto.randomUUID()];
    const first = await run(keyed);
    expect(first.code).toBe(0);
    expect((await run(keyed)).output).toBe(first.output);
    expect((await run(args)).output).not.toBe(first.output);
  });

  it('are not asked for where their results cannot be written', async () => {
    await using forwarder = await startForwarder(stack.url);
    const args = ['jobs', 'results', 'job_1', '-o'];
    for (const output of ['nowhere/results.jsonl', 'photos']) {
      const { code, errors } = await run([...args, output], { url: forwarder.url });
      expect({ code, lines: linesOf(errors).length }).toEqual({ code: 2, lines: 1 });
    }
    expect(forwarder.seen).toEqual([]);
    expect((await run([...args, 'none.jsonl'])).code).toBe(3);
    expect((await readdir(folder)).filter((name) => name.startsWith('none'))).toEqual([]);
  });

  it('are tried again with the same webhook, another, or none', async () => {
    await write('bad.jsonl', [{ image: 'none' }]);
    const [one, two] = ['https://hooks.example.org/one', 'https://hooks.example.org/two'];
    const created = await run(['jobs', 'create', 'bad.jsonl', '--webhook', one, '--watch']);
    const id = created.output.trim();
    expect(created.errors).toMatch(new RegExp(`${id}: events are signed with whsec_.+ once`));
    const retry = (...args: string[]) => run(['jobs', 'retry', id, ...args]);
    const webhookOf = async (...args: string[]) =>
      parsed((await retry('--json', ...args)).output)[0]?.webhook;
    expect(await webhookOf()).toEqual({ url: one, events: expect.any(Array) });
    expect(await webhookOf('--webhook', two)).toMatchObject({
      url: two,
      secret: expect.any(String),
    });
    expect(await webhookOf('--no-webhook')).toBeNull();
    expect((await retry('--webhook', two)).errors).toContain('events are signed with whsec_');
    expect(await retry('--webhook', two, '--no-webhook')).toMatchObject({ code: 2, output: '' });
  });

  it('are estimated, and nothing is sent that would be run', async () => {
    await run(['caption', SCENE]);
    const { code, output } = await run(['jobs', 'create', '-', '--dry-run'], {
      input: `${JSON.stringify({ image })}\nhttps://images.example.org/a.webp\n`,
    });
    expect(code).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ items: 2, known_images: 1 });
    const ofFolder = await run(['jobs', 'create', join(folder, 'photos/below'), '--dry-run']);
    expect(JSON.parse(ofFolder.output)).toMatchObject({ items: 1, known_images: 1 });
  });

  it('are refused where their task needs what no option and no line says', async () => {
    await using forwarder = await startForwarder(stack.url);
    const [url, args] = [forwarder.url, ['jobs', 'create', 'photos', '--task']];
    const asked = await run([...args, 'answer'], { url });
    expect(asked).toMatchObject({ code: 2, output: '' });
    expect(asked.errors).toMatch(
      /b\.webp: there is no question\. Give --question TEXT for all items\.\n$/,
    );
    const matched = await run([...args, 'match'], { url });
    expect(matched).toMatchObject({ code: 2, output: '' });
    expect(matched.errors).toContain('--texts TEXT');
    const ofBucket = ['jobs', 'create', '--prefix', 'a', '--task', 'answer'];
    expect(await run(ofBucket, { url })).toMatchObject({
      code: 2,
      errors: '--task answer needs --question TEXT.\n',
    });
    expect(forwarder.seen).toEqual([]);
    const set = ['--set', 'question=what is it?', '--dry-run'];
    const known = await run(['jobs', 'create', 'photos/below', '--task', 'answer', ...set]);
    expect(known.code).toBe(0);
  });

  it('are canceled', async () => {
    const created = await run(['jobs', 'create', SCENE, '--task', 'answer', '--question', 'what?']);
    const canceled = await run(['jobs', 'cancel', created.output.trim()]);
    expect(canceled.code).toBe(0);
    expect(canceled.output).toContain(created.output.trim());
  });

  it('say how far they are, and what their webhooks were sent', async () => {
    const options = ['--webhook', 'https://hooks.invalid-name.example.com/blip2'];
    const created = await run(['jobs', 'create', SCENE, ...options, '--watch']);
    const id = created.output.trim();
    await expect
      .poll(async () => (await run(['jobs', 'status', id])).output, { timeout: 60_000 })
      .toMatch(/webhook: job\.completed at \d{4}-.*Z, try 1: [A-Z].* Tried again at \d{4}-/);
    const { code, output } = await run(['jobs', 'status', id]);
    expect(code).toBe(0);
    expect(output).toMatch(new RegExp(`^${id} completed: 1 of 1 completed\n`));
    expect(output).not.toMatch(/internal error|reference/);
    const [shown] = parsed((await run(['jobs', 'status', id, '--json'])).output);
    expect(shown).toMatchObject({ id, deliveries: [{ type: 'job.completed', attempt: 1 }] });
    expect((await run(['jobs', 'status', 'job_0'])).code).toBe(3);
  });

  it('are deleted once they have ended', async () => {
    const id = (await run(['jobs', 'create', SCENE, '--task', 'caption', '--watch'])).output.trim();
    const deleted = await run(['jobs', 'delete', id]);
    expect(deleted).toMatchObject({ code: 0, output: `${id} deleted\n` });
    const again = await run(['jobs', 'delete', id]);
    expect(again.code).toBe(3);
    expect(again.errors).toContain('There is no such job');
    expect(again.errors).toContain('blip2 jobs list');
    expect(again.errors).not.toContain('openapi');
  });

  it('name lines that are wrong, here and at the service', async () => {
    await write('wrong.jsonl', [{ image }, '{']);
    const here = await run(['jobs', 'create', 'wrong.jsonl']);
    expect(here).toMatchObject({ code: 2, output: '' });
    expect(here.errors).toContain('wrong.jsonl, line 2: ');
    const bad = Array.from({ length: 1001 }, (_, i) => ({ id: `${i % 1000}`, image: 'none' }));
    await write('same.jsonl', bad);
    const there = await run(['jobs', 'create', 'same.jsonl', '--watch']);
    expect(there.code).toBe(1);
    expect(there.errors).toContain('failed: nothing was run\nline 1001: ');
    expect((await run(['jobs', 'results', there.output.trim()])).code).toBe(3);
  });

  it('are sent again where the service is busy, and downloads go on where they broke off', async () => {
    await using forwarder = await startForwarder(stack.url);
    let isBusy = true;
    forwarder.fault = (request, response) => {
      if (request.method !== 'POST' || !isBusy) return false;
      isBusy = false;
      response.writeHead(503, { 'retry-after': '0' }).end();
      return true;
    };
    const args = ['jobs', 'create', 'photos', '--watch'];
    const created = await run(args, { url: forwarder.url });
    expect(created.code).toBe(1);
    expect(created.errors).toContain('The service answers 503: another try in 0 s');
    const results = ['jobs', 'results', created.output.trim()];
    const whole = await run(results);
    let isCut = false;
    forwarder.fault = (request) => {
      if (!request.url?.includes('/results') || isCut) return false;
      isCut = true;
      return { cutAt: 50 };
    };
    const toFile = [...results, '--output', 'results.jsonl'];
    const resumed = await run(toFile, { url: forwarder.url });
    expect(resumed.errors).toContain('The download broke off');
    expect(await readFile(join(folder, 'results.jsonl'), 'utf8')).toBe(whole.output);
    expect(forwarder.seen.at(-1)?.headers.range).toBe('bytes=50-');
    expect((await readdir(folder)).filter((name) => name.endsWith('.partial'))).toEqual([]);
  });

  it('are not deleted before they have ended, and how to end them is said', async () => {
    await using forwarder = await startForwarder(stack.url);
    forwarder.fault = refusing(new ApiError('job-not-ready', 'purge: it runs.'));
    const { code, errors } = await run(['jobs', 'delete', 'job_1'], { url: forwarder.url });
    expect(code).toBe(3);
    expect(errors).toContain('job_1 has not ended');
    expect(errors).toContain('blip2 jobs cancel job_1');
    expect(errors).not.toMatch(/purge|GET|\/v1/);
    const results = await run(['jobs', 'results', 'job_1'], { url: forwarder.url });
    expect(results.errors).toContain('blip2 jobs watch ID');
    expect(results.errors).not.toMatch(/GET|\/v1/);
  });

  it('are not tried again where no jobs are run', async () => {
    await using forwarder = await startForwarder(stack.url);
    forwarder.fault = refusing(new ApiError('jobs-unavailable', 'It runs no jobs.'));
    for (const args of [
      ['jobs', 'create', 'photos'],
      ['jobs', 'list'],
    ]) {
      forwarder.seen.length = 0;
      const { code, errors } = await run(args, { url: forwarder.url });
      expect({ code, tries: forwarder.seen.length }).toEqual({ code: 3, tries: 1 });
      expect(errors).toContain('start without `--no-jobs`');
    }
  });

  it('that are watched go on after Ctrl-C', async () => {
    await using forwarder = await startForwarder(stack.url);
    const { promise: watched, resolve } = Promise.withResolvers<void>();
    // Nothing is ever heard of it.
    forwarder.fault = (request) => {
      if (!request.url?.endsWith('/events')) return false;
      resolve();
      return true;
    };
    const child = start(['jobs', 'create', 'photos', '--watch'], forwarder.url);
    const ended = endOf(child);
    await watched;
    child.kill('SIGINT');
    const { code, output, errors } = await ended;
    expect(code).toBe(130);
    expect(errors).toContain(`blip2 jobs watch ${output.trim()}`);
    await run(['jobs', 'watch', output.trim()]);
    expect(parsed((await run(['jobs', 'results', output.trim()])).output)).toHaveLength(2);
  });
});

describe('blip2 run-batch', () => {
  const chat = (custom_id: string, question: string, url = image) => ({
    custom_id,
    method: 'POST',
    url: '/v1/chat/completions',
    body: {
      model: 'blip2-scenes',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: question },
            { type: 'image_url', image_url: { url } },
          ],
        },
      ],
    },
  });
  const caption = (custom_id: string) => ({
    custom_id,
    method: 'POST',
    url: '/v1/captions',
    body: { image },
  });

  it('writes a line for each line, in their order, whatever they ask', async () => {
    await write('in.jsonl', [
      chat('one', 'what is above the octopus?'),
      caption('two'),
      chat('three', 'what is it?', 'data:image/png;base64,AAAA'),
      chat('four', 'what color is the background?'),
      caption('five'),
    ]);
    const args = ['run-batch', '-i', 'in.jsonl', '-o', 'out.jsonl', '--max-items', '2'];
    const { code, output, errors } = await run(args);
    expect({ code, output }).toEqual({ code: 1, output: '' });
    expect(errors).toContain('4 of 5 completed, 1 failed');
    const lines = parsed(await readFile(join(folder, 'out.jsonl'), 'utf8'));
    expect(lines).toMatchObject([
      { custom_id: 'one', response: { status_code: 200 }, error: null },
      { custom_id: 'two', response: { body: { caption: CAPTION } } },
      { custom_id: 'three', response: { status_code: 400 } },
      { custom_id: 'four', response: { status_code: 200 } },
      { custom_id: 'five', response: { body: { caption: CAPTION } } },
    ]);
    expect((await readdir(folder)).filter((name) => name.startsWith('out.jsonl'))).toEqual([
      'out.jsonl',
    ]);
    const input = await readFile(join(folder, 'in.jsonl'), 'utf8');
    const piped = await run(['run-batch', '-i', '-', '-o', '-'], { input: linesOf(input)[1]! });
    expect(piped.code).toBe(0);
    expect(parsed(piped.output)).toMatchObject([{ custom_id: 'two' }]);
  });

  it('names lines that are wrong before anything is sent, and those that the service refuses', async () => {
    await using forwarder = await startForwarder(stack.url);
    await write('in.jsonl', [caption('one'), { custom_id: 'two' }, caption('one')]);
    const args = ['run-batch', '-i', 'in.jsonl', '-o', 'none.jsonl'];
    const here = await run(args, { url: forwarder.url });
    expect(here.code).toBe(2);
    expect(linesOf(here.errors)).toEqual([
      expect.stringContaining('in.jsonl, line 2: '),
      expect.stringContaining('in.jsonl, line 3: custom_id "one" is that of line 1'),
    ]);
    expect(forwarder.seen).toEqual([]);
    const twice = JSON.stringify(caption('two')).replace('{', '{"custom_id":"three",');
    await write('in.jsonl', [chat('one', 'what?'), twice]);
    const there = await run(args);
    expect(there.code).toBe(3);
    expect(there.errors).toContain('refuses lines of /v1/captions');
    expect(there.errors).toContain('line 2: ');
  });

  it('creates its batches again where they were refused, or are gone', async () => {
    const form = new FormData();
    form.set('purpose', 'batch');
    form.set('file', new Blob(['{"custom_id": "no request"}']), 'wrong.jsonl');
    const post = async (path: string, init: RequestInit) => {
      const reply = await fetch(`${stack.url}${path}`, { method: 'POST', ...init });
      return (await reply.json()) as { id: string };
    };
    const { id: input_file_id } = await post('/v1/files', { body: form });
    const { id } = await post('/v1/batches', {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input_file_id, endpoint: '/v1/captions', completion_window: '24h' }),
    });
    const status = async () => {
      const reply = await fetch(`${stack.url}/v1/batches/${id}`);
      return ((await reply.json()) as { status: string }).status;
    };
    await expect.poll(status, { timeout: 60_000 }).toBe('failed');
    await write('in.jsonl', [caption('one')]);
    const input = createHash('sha256')
      .update(await readFile(join(folder, 'in.jsonl')))
      .digest('hex');
    for (const [i, earlier] of [id, 'batch_0123456789abcdef'].entries()) {
      const batches = [{ id: earlier, url: '/v1/captions', firstLine: 0 }];
      const state = JSON.stringify({ input, service: stack.url, batches });
      await writeFile(join(folder, `retried-${i}.jsonl.run.json`), state);
      const again = await run(['run-batch', '-i', 'in.jsonl', '-o', `retried-${i}.jsonl`]);
      expect(again).toMatchObject({ code: 0, errors: expect.stringContaining('1 of 1 completed') });
    }
  });

  it('sends nothing where its output cannot be written', async () => {
    await using forwarder = await startForwarder(stack.url);
    await write('in.jsonl', [caption('one')]);
    for (const output of ['nowhere/out.jsonl', 'photos', 'in.jsonl/out.jsonl']) {
      const args = ['run-batch', '-i', 'in.jsonl', '-o', output];
      const { code, errors } = await run(args, { url: forwarder.url });
      expect({ code, lines: linesOf(errors).length }).toEqual({ code: 2, lines: 1 });
    }
    expect(forwarder.seen).toEqual([]);
  });

  it('goes on with its batches when it is run again', async () => {
    await using forwarder = await startForwarder(stack.url);
    await write('in.jsonl', [caption('one'), caption('two')]);
    const { promise: waits, resolve } = Promise.withResolvers<void>();
    forwarder.fault = (request) => {
      if (request.method !== 'GET') return false;
      resolve();
      return true;
    };
    const args = ['run-batch', '-i', 'in.jsonl', '-o', 'again.jsonl'];
    const child = start(args, forwarder.url);
    const ended = endOf(child);
    await waits;
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 130, errors: expect.stringContaining('again') });
    forwarder.fault = () => false;
    forwarder.seen.length = 0;
    expect((await run(args, { url: forwarder.url })).code).toBe(0);
    expect(forwarder.seen.filter(({ line }) => line.startsWith('POST'))).toEqual([]);
    const lines = parsed(await readFile(join(folder, 'again.jsonl'), 'utf8'));
    expect(lines.map(({ custom_id }) => custom_id)).toEqual(['one', 'two']);
  });
});
