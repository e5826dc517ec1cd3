/**
 * Stands in for GPU workers: receives items of jobs, and commits one reply for all of them, with the code of the real worker and no
 * engine. What is measured with it is the queue, the edge and its objects.
 */

import { readConfig } from '@blip2/gpu-worker/config';
import { jobsConfigOf } from '@blip2/gpu-worker/job-options';
import { Committer } from '@blip2/gpu-worker/jobs/committer';
import { EdgeClient } from '@blip2/gpu-worker/jobs/edge-client';
import { itemOf } from '@blip2/gpu-worker/jobs/message';
import { createSqsClient, MAX_BATCH, Queue } from '@blip2/gpu-worker/jobs/queue';
import { TIMING } from '@blip2/gpu-worker/jobs/timing';
import { createLogger } from '@blip2/gpu-worker/logger';
import { encodeEvent, type GpuEvent } from '@blip2/shared/gpu-events';
import { Room } from './room.ts';

/** Calls that receive at a time. */
const RECEIVERS = 8;
/** Messages that are held at a time: whose results the edge has not taken yet. */
const MAX_HELD = 1000;

const config = jobsConfigOf(readConfig(process.env));
if (config === null) throw new Error('There is no queue.');
const log = createLogger({ level: 'error', write: (line) => process.stderr.write(line) });
const client = createSqsClient(config);
const queue = new Queue(client, config.queueUrl, config.visibilityS, log);
const room = new Room(MAX_HELD);
const committer = new Committer({
  edge: new EdgeClient(config, TIMING),
  queue,
  fingerprint: undefined,
  timing: TIMING,
  log,
  meter: { committed: () => {} },
  onCanceled: () => {},
  onEnded: () => {},
  onLeft: () => room.leave(),
});
const events: GpuEvent[] = [
  { type: 'imageInfo', image: { width: 64, height: 64, format: 'png' } },
  // Any token of any model is one.
  { type: 'tokens', choice: 0, tokens: Array.from({ length: 8 }, (_, i) => ({ id: 300 + i })) },
  {
    type: 'done',
    choices: [{ finish_reason: 'stop', completion_tokens: 8 }],
    timings_ms: { decode: 10 },
  },
];
const frames = Buffer.concat(events.map(encodeEvent)).toString('base64');
const outcome = { kind: 'frames' as const, frames, sha256: 'a'.repeat(64) };

const { signal } = new AbortController();
async function receiveAll(): Promise<never> {
  for (;;) {
    await room.free();
    const messages = await queue.receive(MAX_BATCH, { mayWait: true, signal }).catch(() => []);
    for (const received of messages) {
      const item = itemOf(received, log);
      if (item === null) continue;
      room.enter();
      committer.add({ ...item, outcome, seconds: 0.01 });
    }
  }
}
await Promise.all(Array.from({ length: RECEIVERS }, receiveAll));
