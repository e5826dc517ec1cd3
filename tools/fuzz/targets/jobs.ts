/** Lines of jobs, and what GPU workers ask of jobs: signed by one who knows the secret, by others, and spoiled. */
import { beginPath, type CommitRequest, commitPath, sourcePath } from '@blip2/shared/jobs/commit';
import { SIGNATURE_HEADER, sign } from '@blip2/shared/jobs/signature';
import * as fc from 'fast-check';
import { byteEdit, editBytes } from '../generate/byte-edits.ts';
import { hostileJson } from '../generate/hostile.ts';
import { editJson, jsonEdit } from '../generate/json-edits.ts';
import { exchange } from '../http/exchange.ts';
import { expectNoLeak } from '../http/leaks.ts';
import { HANG_MS, startFuzzStack } from '../stack.ts';
import type { Target } from '../target.ts';
import { Violation } from '../violation.ts';

export type JobsInput = {
  method: 'GET' | 'POST';
  target: string;
  body: Uint8Array;
  /** By whom it is signed; `nobody` sends no signature, `later` changes the body after it was signed. */
  signedBy: 'worker' | 'other' | 'later' | 'nobody' | 'lines';
};

const SECRET = 'a secret of both sides that is long enough';
const OTHER = 'a secret that nobody else has seen before';
const TASKS = ['caption', 'answer', 'embed', 'match', 'x'] as const;

/** Outcomes of items as workers commit them, and whatever comes of changing these. */
const COMMIT: CommitRequest = {
  results: [
    { item: 0, outcome: { kind: 'frames', frames: 'BAAAAAA=', sha256: 'a'.repeat(64) } },
    {
      item: 1,
      outcome: {
        kind: 'failed',
        problem: {
          type: '/problems/invalid-image',
          title: 'Invalid image',
          status: 400,
          detail: 'None.',
        },
      },
    },
    { item: 2, outcome: { kind: 'gave-up', receives: 12 } },
  ],
  worker: 'fingerprint',
  seconds: 0.5,
};

const spoiled = (text: fc.Arbitrary<string>) =>
  fc
    .tuple(text, fc.array(byteEdit(40), { maxLength: 2 }))
    .map(([whole, edits]) => editBytes(Buffer.from(whole), edits));

function inputsFor(job: string, image: string): fc.Arbitrary<JobsInput> {
  const line = {
    id: 'a',
    image: `data:image/webp;base64,${image}`,
    question: 'what is it?',
    texts: ['a cat'],
  };
  const lines = fc
    .array(
      fc.oneof(
        {
          weight: 6,
          arbitrary: fc.array(jsonEdit(), { maxLength: 2 }).map((edits) => editJson(line, edits)),
        },
        { weight: 1, arbitrary: hostileJson },
      ),
      { minLength: 1, maxLength: 5 },
    )
    .map((all) => all.join('\n'));
  const jobs = fc.constantFrom(job, job, 'f'.repeat(96), 'x', '%2e%2e');
  const numbers = fc.constantFrom(0, 1, 99_999, 100_000, -1, 1e21);
  return fc.oneof(
    fc.record({
      method: fc.constant('POST' as const),
      target: fc.constantFrom(...TASKS).map((task) => `/v1/jobs?task=${task}&dry_run=true`),
      body: spoiled(lines),
      signedBy: fc.constant('lines' as const),
    }),
    fc.record({
      method: fc.constant('POST' as const),
      target: fc.tuple(jobs, numbers).map(([id, part]) => commitPath(id, part)),
      body: spoiled(fc.array(jsonEdit(), { maxLength: 3 }).map((edits) => editJson(COMMIT, edits))),
      signedBy: fc.constantFrom('worker', 'worker', 'worker', 'other', 'later', 'nobody'),
    }),
    fc.record({
      method: fc.constant('POST' as const),
      target: fc.tuple(jobs, numbers, numbers).map(([id, part, item]) => beginPath(id, part, item)),
      body: spoiled(fc.oneof(fc.constant(JSON.stringify({ attempt: 'a' })), hostileJson)),
      signedBy: fc.constantFrom('worker', 'worker', 'other', 'later', 'nobody'),
    }),
    fc.record({
      method: fc.constant('GET' as const),
      target: fc
        .tuple(jobs, numbers, numbers)
        .map(([id, part, item]) => sourcePath(id, part, item)),
      body: fc.constant(new Uint8Array()),
      signedBy: fc.constantFrom('worker', 'worker', 'other', 'nobody'),
    }),
  );
}

export const JOBS: Target<JobsInput> = {
  name: 'jobs',
  about:
    "lines of jobs, and the signed routes by which GPU workers begin, get and commit a job's items",
  share: 6,
  lanes: 4,
  open: async () => {
    // Nobody else runs what a made-up commit is about: the job stays, with its queue, until the end.
    const service = await startFuzzStack(false, {
      vars: { JOBS_SECRET: SECRET },
      workerEnv: { BLIP2_JOBS_SECRET: OTHER },
    });
    const { url } = service.stack;
    const image = Buffer.from(service.image.bytes).toString('base64');
    const items = ['a', 'b', 'c'].map((id) => ({ id, image: `data:image/webp;base64,${image}` }));
    const created = await fetch(`${url}/v1/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ task: 'answer', settings: { question: 'what is it?' }, items }),
    });
    if (created.status !== 202) throw new Violation(`no job is taken: ${await created.text()}`);
    const { id } = (await created.json()) as { id: string };
    const job = id.replace(/^job[-_]/, '');
    const settle = await service.watch();
    return {
      inputs: inputsFor(job, image),
      run: async ({ method, target, body, signedBy }) => {
        const bytes = new Uint8Array(body);
        const secret = signedBy === 'other' ? OTHER : SECRET;
        const signed = { method, path: target, body: bytes };
        const signature = await sign(secret, signed, Date.now());
        const sent = signedBy === 'later' ? Buffer.concat([bytes, Buffer.from(' ')]) : bytes;
        const isLines = signedBy === 'lines';
        const reply = await exchange(
          url,
          {
            method,
            target,
            headers: [
              ['content-type', isLines ? 'application/x-ndjson' : 'application/json'],
              ...(isLines || signedBy === 'nobody' ? [] : [[SIGNATURE_HEADER, signature] as const]),
            ],
            body: sent,
            cuts: [],
            leaveAfter: null,
          },
          HANG_MS,
        );
        if (reply === null) return 'closed';
        const { status, text } = reply;
        if (status >= 400) expectNoLeak(text, `${target}\n${Buffer.from(sent).toString('latin1')}`);
        if (status >= 500 && status !== 503) {
          throw new Violation(`${target} fails with ${status}: ${text.slice(0, 500)}`);
        }
        if (!isLines && signedBy !== 'worker' && status !== 401) {
          throw new Violation(`${target} answers ${status} to one who is no worker`);
        }
        return String(status);
      },
      settle,
      [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
    };
  },
};
