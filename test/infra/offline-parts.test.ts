/** A part of an offline run goes to the edge as a job, and its results stand beside it. */
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SENT_IN_VAIN } from '../../infra/src/offline/exit-codes.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const folder = temporaryFolder();
let stack: Stack;
let image: string;
beforeAll(async () => {
  stack = await startStack({ jobs: true });
  const bytes = await readFile(join(ROOT, 'test/scenes/pair-noto-00.webp'));
  image = `data:image/webp;base64,${bytes.toString('base64')}`;
});
afterAll(() => stack?.stop());

/** Runs the part as its container does. */
async function run(index: number, variables: Record<string, string> = {}) {
  const script = join(ROOT, 'infra/src/offline/run-part.ts');
  const env = {
    ...process.env,
    JOB_COMPLETION_INDEX: String(index),
    PARTS_EDGE_URL: stack.url,
    PARTS_FOLDER: folder,
    PARTS_RUN: 'test',
    PARTS_POLL_MS: '50',
    ...variables,
  };
  const running = promisify(execFile)(process.execPath, [script], { env });
  return await running.then(
    ({ stdout }) => ({ code: 0, output: stdout.trim() }),
    ({ code, stderr }: { code: number; stderr: string }) => ({ code, output: stderr }),
  );
}

const write = (index: number, ...lines: object[]) =>
  writeFile(
    join(folder, `part-0000${index}.jsonl`),
    lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
  );

it('ends with its results, and does not send the same lines again', async () => {
  await write(0, { id: 'one', image });
  const { code, output } = await run(0);
  expect({ code, output }).toEqual({ code: 0, output: join(folder, 'part-00000.results.jsonl') });
  const results = await readFile(output, 'utf8');
  expect(results).toContain('"caption":"a pizza above an octopus on a gray background"');
  // A pod that was lost before it had the results: the next finds the same job.
  await rm(output);
  expect(await run(0)).toEqual({ code, output });
  expect(await readFile(output, 'utf8')).toBe(results);
  // With results, the edge is not asked.
  expect(await run(0, { PARTS_EDGE_URL: 'http://127.0.0.1:2' })).toEqual({ code, output });
});

it('says for good that lines are refused or missing', async () => {
  await write(1, { id: 'one', image }, { id: 'one', image });
  const refused = await run(1);
  expect(refused.code).toBe(SENT_IN_VAIN);
  expect(refused.output).toContain('duplicate_custom_id');
  expect(await run(2)).toMatchObject({
    code: SENT_IN_VAIN,
    output: expect.stringContaining('part-00002.jsonl cannot be read'),
  });
});

it('may be tried again where the edge cannot be reached', async () => {
  await write(3, { id: 'one', image });
  expect(await run(3, { PARTS_EDGE_URL: 'http://127.0.0.1:2' })).toMatchObject({ code: 1 });
});
