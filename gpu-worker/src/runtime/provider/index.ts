/**
 * Probes the execution providers, and chooses one. Each is probed in its own process: a graphics driver may crash the
 * process that loads it, and writes noise to its standard error.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import * as z from 'zod/mini';
import { endsWithParent } from '../../ends-with-parent.ts';
import type { ExecutionProvider } from '../session-options.ts';
import {
  candidates,
  chooseProvider,
  isGoodEnough,
  type ProviderChoice,
  type RequestedProvider,
} from './choose.ts';
import type { Probe } from './probe.ts';

const ENTRY = fileURLToPath(new URL('./probe-process.ts', import.meta.url));
const TIMEOUT_MS = 30_000;

const ProbeResult = z.discriminatedUnion('state', [
  z.object({ state: z.literal('failed'), reason: z.string() }),
  z.object({
    state: z.literal('loaded'),
    products: z.boolean(),
    attention: z.boolean(),
    speed: z.number(),
  }),
]);

/**
 * Probes the providers that are worth it on this machine, and chooses one.
 * @throws Error with advice, when the requested provider cannot be used
 */
export async function findProvider(requested: RequestedProvider): Promise<ProviderChoice> {
  const probes = new Map<ExecutionProvider, Probe>();
  for (const provider of candidates(requested)) {
    const result = await probeInProcess(provider);
    probes.set(provider, result);
    if (isGoodEnough(result)) break;
  }
  return chooseProvider(requested, probes);
}

/**
 * Probes a provider in its own process; a crash of that process is a reason to fail, not an error.
 * @param entry script that the process runs
 */
export async function probeInProcess(provider: ExecutionProvider, entry = ENTRY): Promise<Probe> {
  const child = spawn(...endsWithParent(process.execPath, [entry, provider]), {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
  });
  const ended = once(child, 'close');
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null];
  if (code === 0) return ProbeResult.parse(JSON.parse(output.trim().split('\n').at(-1) ?? ''));
  const last = errors.trim().split('\n').at(-1);
  return { state: 'failed', reason: `its probe ended with ${signal ?? code}: ${last}` };
}
