/** HAProxy with the configuration of the clusters, for tests. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '@blip2/gpu-worker/check-port';
import { expect, vi } from 'vitest';
import { haproxyConfig } from '../../infra/src/haproxy/config.ts';
import { temporaryFolder } from './temporary-folder.ts';

export const isHaproxyInstalled = spawnSync('haproxy', ['-v']).status === 0;
if (!isHaproxyInstalled)
  console.warn('HAProxy is not installed (apt-get install haproxy): its tests are skipped.');

const folder = temporaryFolder();
/** Workers may be loading. */
const PATIENCE = { timeout: 120_000, interval: 200 };

export type Balancer = AsyncDisposable & {
  url: string;
  metrics: () => Promise<string>;
  upServers: () => Promise<number>;
};

/** @param addresses of workers, `host:port` @returns once all of them serve */
export async function startBalancer(addresses: readonly string[]): Promise<Balancer> {
  const loopback = { host: '127.0.0.1', port: 0 };
  const variables = { variables: { host: 'HOST', port: 'PORT' }, nameOccupant: async () => null };
  const [port, metricsPort] = [
    await freePort(loopback, variables),
    await freePort(loopback, variables),
  ];
  const path = join(folder, `${port}.cfg`);
  const config = haproxyConfig({
    bind: `127.0.0.1:${port}`,
    bindMetrics: `127.0.0.1:${metricsPort}`,
    workers: { kind: 'addresses', addresses },
    slots: 8,
  });
  await writeFile(path, config);
  const haproxy = spawn('haproxy', ['-db', '-f', path], { stdio: 'ignore' });
  const ended = once(haproxy, 'exit');
  const metrics = async () => await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const upServers = async () => {
    const [, count = '-1'] =
      /^haproxy_backend_active_servers\{proxy="workers"\} (\d+)/m.exec(await metrics()) ?? [];
    return Number(count);
  };
  const balancer = {
    url: `http://127.0.0.1:${port}`,
    metrics,
    upServers,
    [Symbol.asyncDispose]: async () => {
      haproxy.kill('SIGKILL');
      await ended;
    },
  };
  // Also before the first test.
  await vi.waitFor(async () => expect(await upServers()).toBe(addresses.length), PATIENCE);
  return balancer;
}
