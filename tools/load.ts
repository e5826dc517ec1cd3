/**
 * `npm run load`: the service under a mix of requests that come when they come, as from independent callers.
 *
 * The loop is open: each request is sent when it is due, and its latency is counted from then, so that a stall counts
 * for all who would have come meanwhile. By turns: the mix (memory is sampled), time between tokens with and without
 * new images, and a light caller beside a greedy one. What the generator itself delays is reported. It ends with 1 where
 * requests failed.
 */
import { cpus } from 'node:os';
import { styleText } from 'node:util';
import { configure } from '@blip2/shared/config/configure';
import { markdownTable } from 'markdown-table';
import { expectOk } from './api.ts';
import { capacityOf, findCapacity } from './load/capacity.ts';
import { measureLoad, prepareLoad } from './load/measure-load.ts';
import { measureMix } from './load/measure-mix.ts';
import { describeReport, failuresIn } from './load/report.ts';
import { WarmUpError } from './load/warm-up.ts';
import { LOAD } from './programs/speed.ts';
import { startOrExit } from './start-or-exit.ts';
import { statusLine } from './status-line.ts';

/** Images that are asked about again and again. */
const KNOWN = 40;
const TRIAL_SECONDS = 20;

const { values: config } = configure(LOAD);
const { rate, arrivals, seed, callerHeader, seconds = 60 * config.minutes } = config;
const line = statusLine();
if (config.url !== undefined) await expectApi(config.url);
const stack =
  config.url === undefined
    ? await startOrExit({ model: config, vars: { CLIENT_ADDRESS_HEADER: callerHeader } }, line)
    : null;
const url = config.url ?? stack?.url ?? '';
try {
  if (config.capacity === undefined) await measure();
  else await capacity(config.capacity);
} catch (error) {
  if (!(error instanceof WarmUpError)) throw error;
  line.clear();
  console.error(error.message);
  process.exitCode = 1;
} finally {
  line.clear();
  await stack?.stop();
}
process.exit();

async function measure(): Promise<void> {
  const report = {
    command: ['npm run load --', ...process.argv.slice(2)].join(' '),
    machine: `${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}`,
    ...(await measureLoad({
      url,
      callerHeader,
      seed,
      known: KNOWN,
      mix: { rate, arrivals, seconds },
      partSeconds: Math.min(60, seconds / 2),
      fill: config.fill,
      ...(stack === null ? {} : { workerPid: () => stack.worker.pid }),
      onStatus: line.update,
    })),
  };
  line.clear();
  console.log(config.json ? JSON.stringify(report, null, 2) : describeReport(report));
  const failures = failuresIn(report);
  if (failures.length === 0) return;
  for (const failure of failures) console.error(styleText('red', `Failed: ${failure}`));
  process.exitCode = 1;
}

async function capacity(boundMs: number): Promise<void> {
  line.update('Warming up …');
  const load = await prepareLoad({ url, callerHeader, seed, known: KNOWN });
  const trials = await findCapacity(
    async (tried) => {
      line.update(`${tried.toFixed(1)} requests a second …`);
      const { all, failed } = await measureMix(load, {
        rate: tried,
        arrivals,
        seconds: TRIAL_SECONDS,
      });
      return { p99: all.p99, failed };
    },
    { from: rate, boundMs },
  );
  line.clear();
  if (config.json) {
    console.log(JSON.stringify({ boundMs, perSecond: capacityOf(trials), trials }, null, 2));
    return;
  }
  const rows = trials.map(({ rate: tried, p99, failed }) => [
    tried.toFixed(1),
    p99?.toFixed(0) ?? '',
    String(failed),
  ]);
  console.log(markdownTable([['requests a second', 'p99 (ms)', 'failed'], ...rows]));
  console.log(`\n${capacityOf(trials).toFixed(1)} a second with a p99 of at most ${boundMs} ms.`);
}

/** Ends this process with 1 when there is no healthy API at the address. */
async function expectApi(address: string): Promise<void> {
  try {
    await expectOk(await fetch(`${address}/healthz`));
  } catch (error) {
    const { message, cause } = error as Error;
    console.error(
      `There is no API that can answer at ${address}: ${(cause as Error | undefined)?.message || message}`,
    );
    process.exit(1);
  }
}
