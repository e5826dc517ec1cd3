/** HAProxy with the configurations of `infra/`, before workers or a service on this machine. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '@blip2/gpu-worker/check-port';
import { haproxyConfig } from '../infra/src/haproxy/config.ts';
import { frontConfig } from '../infra/src/haproxy/front.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };
const NAMES = { variables: { host: 'HOST', port: 'PORT' }, nameOccupant: async () => null };
/** Workers may be loading. */
const PATIENCE_MS = 120_000;
const LOOK_MS = 100;

export type Balancer = AsyncDisposable & {
  /** Base URL, without a slash at its end. */
  url: string;
  metrics: () => Promise<string>;
  /** Workers that it sends to. */
  upServers: () => Promise<number>;
  /** Requests that workers answer now. */
  openRequests: () => Promise<number>;
};

export function hasHaproxy(): boolean {
  return spawnSync('haproxy', ['-v']).status === 0;
}

/**
 * @param addresses of workers, `host:port`
 * @param tls what follows the address of its `bind`, as `ssl crt …`
 * @returns once all of them serve
 * @throws Error when HAProxy ends, or they do not serve within two minutes
 */
export async function startBalancer(addresses: readonly string[], tls = ''): Promise<Balancer> {
  const [port, metricsPort] = [await freePort(LOOPBACK, NAMES), await freePort(LOOPBACK, NAMES)];
  const config = haproxyConfig({
    bind: `127.0.0.1:${port} ${tls}`.trim(),
    bindMetrics: `127.0.0.1:${metricsPort}`,
    workers: { kind: 'addresses', addresses },
    slots: 8,
  });
  const metrics = async () => await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const ofBackend = async (metric: string) => {
    const pattern = new RegExp(`^haproxy_backend_${metric}\\{proxy="workers"\\} (\\d+)`, 'm');
    return Number(pattern.exec(await metrics())?.[1] ?? -1);
  };
  const upServers = () => ofBackend('active_servers');
  const serve = async () => (await upServers().catch(() => -1)) === addresses.length;
  return {
    url: `${tls === '' ? 'http' : 'https'}://127.0.0.1:${port}`,
    metrics,
    upServers,
    openRequests: () => ofBackend('current_sessions'),
    ...(await startHaproxy(config, serve)),
  };
}

/**
 * @param service `host:port`
 * @returns once it serves, with its base URL
 * @throws Error as `startBalancer`
 */
export async function startFront(service: string): Promise<AsyncDisposable & { url: string }> {
  const port = await freePort(LOOPBACK, NAMES);
  const url = `http://127.0.0.1:${port}`;
  const config = frontConfig({ bind: `127.0.0.1:${port}`, service });
  const serves = async () => (await fetch(`${url}/healthz`).catch(() => null)) !== null;
  return { url, ...(await startHaproxy(config, serves)) };
}

async function startHaproxy(
  config: string,
  serves: () => Promise<boolean>,
): Promise<AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'blip2-haproxy-'));
  const path = join(folder, 'haproxy.cfg');
  await writeFile(path, config);
  const haproxy = spawn('haproxy', ['-db', '-f', path], { stdio: 'ignore' });
  const ended = once(haproxy, 'exit');
  const stop = async () => {
    haproxy.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await serves())) {
    if (haproxy.exitCode === null && performance.now() < deadline) {
      await delay(LOOK_MS);
      continue;
    }
    await stop();
    throw new Error('HAProxy does not serve.');
  }
  return { [Symbol.asyncDispose]: stop };
}
