/** Downloads what never changes: a download that breaks off goes on where it was, also in another run of the command. */
import { rename, rm, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '@blip2/gpu-worker/hub/retry';
import { type Api, ATTEMPTS, causeOf } from './api.ts';
import { CliError, EXIT } from './failure.ts';
import { expectWritable, openOutput } from './output-file.ts';
import { visible } from './terminal.ts';

/** What has to come between two breaks for a download to have got on. */
const PROGRESS_BYTES = 2 ** 16;

type Sink = {
  /** Bytes that there are of it already. */
  have: number;
  /** Resolves when more may come. */
  write: (bytes: Uint8Array) => Promise<void>;
  /** Gets a line for each wait. */
  onWait: (line: string) => void;
};

/**
 * The rest of a reply whose bytes only become more: by a range, or without the bytes that are here where the service
 * knows no ranges of it (yet).
 * @throws CliError
 */
export async function download(api: Api, path: string, sink: Sink): Promise<void> {
  let { have } = sink;
  for (let failures = 0; ; ) {
    const headers: Record<string, string> = have > 0 ? { range: `bytes=${have}-` } : {};
    const reply = await api.request(path, { headers, accepts: [416] });
    if (reply.status === 416) {
      await reply.body?.cancel();
      const length = Number(/\/(\d+)$/.exec(reply.headers.get('content-range') ?? '')?.[1]);
      if (length === have) return;
      throw new CliError(
        `The service has ${length} bytes, and ${have} of them are here: delete the file that ends in .partial.`,
      );
    }
    if (reply.status === 206) expectStart(reply.headers.get('content-range'), have);
    const began = have;
    let skip = reply.status === 206 ? 0 : have;
    try {
      for await (const chunk of reply.body ?? []) {
        const bytes = chunk.subarray(skip);
        skip -= chunk.length - bytes.length;
        if (bytes.length === 0) continue;
        have += bytes.length;
        if (have - began >= PROGRESS_BYTES) failures = 0;
        await sink.write(bytes);
      }
      return;
    } catch (error) {
      if (error instanceof CliError) throw error;
      if (++failures >= ATTEMPTS) {
        throw new CliError(
          `The download broke off again and again (${causeOf(error)}).\nThe same command goes on where it was.`,
          EXIT.unreachable,
        );
      }
      const ms = backoffMs(failures, Math.random());
      sink.onWait(`The download broke off: going on in ${Math.ceil(ms / 1000)} s`);
      await delay(ms);
    }
  }
}

/** @throws CliError where a range begins elsewhere: what is here would not go on with it */
function expectStart(range: string | null, have: number): void {
  if (Number(/^bytes (\d+)-/.exec(range ?? '')?.[1]) === have) return;
  const what = `The service sends another range than the one that begins at byte ${have}: is it the service, of the same version?`;
  throw new CliError(what, EXIT.refused);
}

/**
 * Downloads into a file, which is there only when it is whole.
 * @param partial where its beginning is meanwhile: a name that no other download has
 * @param onBytes gets what comes now, not what was there before
 */
export async function downloadFile(
  api: Api,
  path: string,
  {
    output,
    partial,
    onWait,
    onBytes,
  }: { output: string; partial: string; onBytes: (bytes: Uint8Array) => void } & Pick<
    Sink,
    'onWait'
  >,
): Promise<void> {
  await expectWritable(output, [partial]);
  const have = await sizeOf(partial);
  try {
    await using file = await openOutput(partial, 'a');
    const write = (bytes: Uint8Array) => {
      onBytes(bytes);
      return file.write(bytes);
    };
    await download(api, path, { have, onWait, write });
  } catch (error) {
    // Nothing to go on with.
    if ((await sizeOf(partial)) === 0) await rm(partial, { force: true });
    throw error;
  }
  await rename(partial, output);
}

async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch(() => null);
  return found?.size ?? 0;
}

/** Resolves when the bytes are written. @throws CliError where they cannot be */
export async function written(
  stream: NodeJS.WritableStream & { isTTY?: boolean },
  bytes: Uint8Array | string,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.write(visible(bytes, stream), (error) =>
    error ? reject(new CliError(error.message)) : resolve(),
  );
  await promise;
}
