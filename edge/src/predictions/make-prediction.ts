/** Makes a prediction: generates its text into its run, and waits as its client would where all GPU workers are busy. */
import { ApiError } from '@blip2/shared/errors';
import { beginGeneration } from '../generation/begin-generation.ts';
import { aboutImage } from '../image/image-field.ts';
import type { Account } from '../limits/account.ts';
import { logError, logWarning } from '../log.ts';
import type { RequestContext } from '../request-context.ts';
import type { PredictionOrder } from './contract.ts';
import { fileImage, type ReadFile } from './file-image.ts';
import type { Run } from './run.ts';

export type MakingDeps = Parameters<typeof beginGeneration>[0];

/** Before the next try, where the error does not say it. */
const RETRY_S = 1;

type Making = {
  /** Released when the run has ended. */
  account: Account | undefined;
  waitUntil: (work: Promise<unknown>) => void;
  readFile: ReadFile;
};

/** What goes wrong is the end of the run, too. */
export async function makePrediction(
  run: Run,
  order: PredictionOrder,
  deps: MakingDeps,
  { account, waitUntil, readFile }: Making,
): Promise<void> {
  const { source, field } = order;
  const maxBytes = deps.config.maxImageBytes;
  const images =
    source.kind === 'file' ? fileImage(source, readFile, { maxBytes, field }) : deps.images;
  const context: RequestContext = {
    ...order.context,
    ...(account && { account }),
    onImage: (path, sentAt) => {
      run.prediction.image = { path, sentAt };
    },
    signal: run.signal,
    deadlineAt: run.prediction.createdAt + deps.config.deadlineMs,
    waitUntil,
  };
  try {
    while (!run.hasEnded)
      await tryOnce(run, order, { ...deps, ...(images && { images }) }, context);
  } finally {
    account?.release();
  }
}

/** Until the end of the run, or until it is worth another try. */
async function tryOnce(
  run: Run,
  order: PredictionOrder,
  deps: MakingDeps,
  context: RequestContext,
): Promise<void> {
  try {
    await generateInto(run, order, deps, context);
  } catch (thrown) {
    if (run.hasEnded) return;
    const error = ApiError.from(aboutImage(thrown, order.field));
    const ms = 1000 * (error.extras.retry_after ?? RETRY_S);
    const isInTime = deps.now() + ms < context.deadlineAt;
    if (mayPass(error) && run.deltas.length === 0 && isInTime) {
      await scheduler.wait(ms);
      return;
    }
    logFailure(error, order.context.requestId);
    run.end({ status: 'failed', error: error.message });
  }
}

async function generateInto(
  run: Run,
  { source, prompt }: PredictionOrder,
  deps: MakingDeps,
  context: RequestContext,
): Promise<void> {
  // The hash says which image a file is; its bytes are read when they are asked for.
  const named = source.kind === 'file' ? ({ ...source, kind: 'sha256' } as const) : source;
  const { deltas } = await beginGeneration(deps, { source: named, prompt }, context);
  for await (const delta of deltas) {
    if (run.hasEnded) return;
    run.start();
    if (delta.type === 'delta') run.add(delta.text);
    if (delta.type === 'done') run.end({ status: 'succeeded', output: delta.generation.text });
  }
  // Ends every prediction, whatever a generation does.
  run.end({ status: 'failed', error: 'The text ended without its last part.' });
}

/** Who has to wait for a place waits here, and not its client. */
function mayPass({ slug }: ApiError): boolean {
  return ['too-many-requests', 'overloaded', 'shutting-down'].includes(slug);
}

function logFailure({ status, slug, message, cause }: ApiError, request_id: string): void {
  if (status < 500) return;
  const detail = cause instanceof Error ? (cause.stack ?? cause.message) : cause;
  const log = slug === 'internal-error' || slug === 'bad-gateway' ? logError : logWarning;
  log('problem', { request_id, slug, message, cause: detail });
}
