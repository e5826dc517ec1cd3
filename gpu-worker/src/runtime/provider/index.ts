/**
 * Chooses the execution provider. Each is probed in a process of its own: a graphics driver may end the process that loads
 * it, and writes to its standard error what nobody needs to read.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import * as z from 'zod/mini';
import type { ExecutionProvider } from '../session-options.ts';
import { type Asked, candidates, chooseProvider, isGood, type ProviderChoice } from './choose.ts';
import type { Probe } from './probe.ts';

const ENTRY = fileURLToPath(new URL('./probe-process.ts', import.meta.url));
const TIMEOUT_MS = 30_000;

const Found = z.discriminatedUnion('state', [
  z.object({ state: z.literal('failed'), reason: z.string() }),
  z.object({
    state: z.literal('loaded'),
    products: z.boolean(),
    attention: z.boolean(),
    speed: z.number(),
  }),
]);

/** @throws Error that says what to do, when the provider that was asked for cannot be used */
export async function findProvider(asked: Asked): Promise<ProviderChoice> {
  const probes = new Map<ExecutionProvider, Probe>();
  for (const provider of candidates(asked)) {
    const found = await probeApart(provider);
    probes.set(provider, found);
    if (isGood(found)) break;
  }
  return chooseProvider(asked, probes);
}

/** @param entry what the process runs */
export async function probeApart(provider: ExecutionProvider, entry = ENTRY): Promise<Probe> {
  const child = spawn(process.execPath, [entry, provider], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
  });
  const ended = once(child, 'close');
  const [said, noise] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null];
  if (code === 0) return Found.parse(JSON.parse(said.trim().split('\n').at(-1) ?? ''));
  const last = noise.trim().split('\n').at(-1);
  return { state: 'failed', reason: `its probe ended with ${signal ?? code}: ${last}` };
}
