/**
 * Measures what HAProxy adds to each token of a stream, directly and through it by turns, so that noise of the machine affects both.
 *
 * Delay: from the moment at which a server writes a token until its client has read it; the server says when in each, and
 * writes one every 5 ms. Both are in this process. Gap: between two tokens of the real worker, whose steps are most of it.
 */
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { startBalancer } from '../haproxy.ts';
import type { Stack } from '../local-stack.ts';
import { captionRequest, type Embeddings, embed, freshImages, runDirect } from './requests.ts';
import { quantile } from './statistics.ts';

const STREAMS = [1, 8] as const;
const TOKENS = 48;
const INTERVAL_MS = 5;

/** Samples of one measurement, milliseconds. */
type Ways = { direct: number[]; balanced: number[] };

export async function balancerRows(stack: Stack, rounds: number): Promise<string[][]> {
  await using server = await startEmitter();
  await using beforeEmitter = await startBalancer([new URL(server.url).host]);
  await using beforeWorker = await startBalancer([new URL(stack.workerUrl).host]);
  const request = captionRequest(stack.model, TOKENS);
  const sources: Embeddings[] = [];
  for (const image of await freshImages(Math.max(...STREAMS)))
    sources.push((await embed(stack, image)).source);
  const gapsAt = async (workerUrl: string, streams: number) => {
    const runs = sources
      .slice(0, streams)
      .map((source) => runDirect({ workerUrl }, request, source));
    return (await Promise.all(runs)).flatMap(({ arrivals }) =>
      arrivals.slice(1).map((at, index) => at - (arrivals[index] ?? 0)),
    );
  };
  const delaysAt = async (url: string, streams: number) =>
    (await Promise.all(Array.from({ length: streams }, () => delaysOf(url)))).flat();
  const rows: string[][] = [];
  for (const streams of STREAMS) {
    const [delays, gaps]: [Ways, Ways] = [newWays(), newWays()];
    for (let round = 0; round < rounds; round++) {
      delays.direct.push(...(await delaysAt(server.url, streams)));
      delays.balanced.push(...(await delaysAt(beforeEmitter.url, streams)));
      gaps.direct.push(...(await gapsAt(stack.workerUrl, streams)));
      gaps.balanced.push(...(await gapsAt(beforeWorker.url, streams)));
    }
    rows.push(
      rowOf(streams, 'delay of a token', delays),
      rowOf(streams, 'gap of the worker', gaps),
    );
  }
  const heads = ['directly', 'through HAProxy', 'added'];
  return [
    ['streams', 'ms', ...heads.flatMap((head) => [`${head}, p50`, 'p99']), 'tokens'],
    ...rows,
  ];
}

const newWays = (): Ways => ({ direct: [], balanced: [] });

function rowOf(streams: number, what: string, { direct, balanced }: Ways): string[] {
  const both = (values: readonly number[]) => [quantile(values, 0.5), quantile(values, 0.99)];
  const [without, through] = [both(direct), both(balanced)];
  const added = through.map((value, index) => value - (without[index] ?? 0));
  const cells = [...without, ...through, ...added].map((value) => value.toFixed(2));
  return [String(streams), what, ...cells, String(direct.length)];
}

/** A server that streams tokens, each of which is the time at which it was written. */
async function startEmitter(): Promise<AsyncDisposable & { url: string }> {
  const server: Server = createServer(async (request, response) => {
    response.writeHead(200);
    if (request.url !== '/v1/run') return void response.end();
    for (let token = 0; token < TOKENS; token++) {
      await delay(INTERVAL_MS);
      response.write(`${performance.now()}\n`);
    }
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function delaysOf(url: string): Promise<number[]> {
  const [response] = (await once(get(`${url}/v1/run`), 'response')) as [IncomingMessage];
  const delays: number[] = [];
  response.setEncoding('utf8');
  for await (const chunk of response) {
    const now = performance.now();
    // Two that come together are late by the first one's time, too.
    for (const written of String(chunk).trim().split('\n')) delays.push(now - Number(written));
  }
  return delays;
}
