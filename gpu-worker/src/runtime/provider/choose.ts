/** Chooses the execution provider. Pure: the requested provider and the probes in, a choice with its reason out. */
import type { ExecutionProvider } from '../session-options.ts';
import type { Probe } from './probe.ts';

/** What a configuration may request. */
export type RequestedProvider = ExecutionProvider | 'auto';

/** `why` in a few words; '' for a provider that was requested by name. */
export type ProviderChoice = { provider: ExecutionProvider; why: string };

type Gpu = Exclude<ExecutionProvider, 'cpu'>;

/** The best first. */
const GPUS = ['cuda', 'webgpu'] as const satisfies readonly Gpu[];
/** Times the CPU's speed from which a GPU is chosen: less may be chance, or a GPU that the CPU emulates. */
const LEAST_SPEEDUP = 2;

const INSTALL: Record<Gpu, string> = {
  webgpu:
    "Install a Vulkan driver: on Debian libvulkan1 with mesa-vulkan-drivers, or the GPU vendor's.",
  cuda:
    'Fetch its libraries with ' +
    '"ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js", ' +
    'and install CUDA 12 and cuDNN 9.',
};

/** What has to be probed, in this order, until one is good enough. */
export function candidates(requested: RequestedProvider): readonly Gpu[] {
  if (requested === 'auto') return GPUS;
  return requested === 'cpu' ? [] : [requested];
}

/** Whether `auto` chooses it: right in everything and clearly faster than the CPU. */
export function isGoodEnough(probe: Probe): boolean {
  return (
    probe.state === 'loaded' && probe.products && probe.attention && probe.speed >= LEAST_SPEEDUP
  );
}

/** @throws Error with advice, when the requested provider cannot be used */
export function chooseProvider(
  requested: RequestedProvider,
  probes: ReadonlyMap<ExecutionProvider, Probe>,
): ProviderChoice {
  if (requested === 'auto') return best(probes);
  if (requested === 'cpu') return { provider: requested, why: '' };
  const found = probes.get(requested) ?? { state: 'failed', reason: 'it was not probed' };
  const unusable = (reason: string, advice: string) => {
    const remedy = [advice, 'BLIP2_EXECUTION_PROVIDER=cpu always works.'].join(' ').trim();
    return new Error(`The execution provider "${requested}" cannot be used: ${reason}. ${remedy}`);
  };
  if (found.state === 'failed') throw unusable(summarize(found.reason), INSTALL[requested]);
  if (!found.products) throw unusable('its products are wrong on this device', '');
  if (found.attention) return { provider: requested, why: '' };
  if (requested !== 'webgpu') throw unusable('its attention is wrong on this device', '');
  return { provider: requested, why: 'attention on the CPU, as it is wrong on this device' };
}

function best(probes: ReadonlyMap<ExecutionProvider, Probe>): ProviderChoice {
  const rejected: string[] = [];
  for (const provider of GPUS) {
    const found = probes.get(provider);
    if (found === undefined) continue;
    if (found.state === 'failed') rejected.push(`${provider}: ${summarize(found.reason)}`);
    else if (!found.products || !found.attention) rejected.push(`${provider}: computes wrong here`);
    else if (!isGoodEnough(found))
      rejected.push(`${provider}: ${times(found.speed)} the CPU's speed`);
    else return { provider, why: `${times(found.speed)} the CPU's speed` };
  }
  return { provider: 'cpu', why: rejected.join('; ') };
}

const times = (speed: number) => `${Number(speed.toPrecision(2))} times`;

/** onnxruntime's message, shortened in the two common cases; else its last line. */
function summarize(reason: string): string {
  if (/no supported adapters/i.test(reason)) return 'no adapter';
  if (/failed to load shared library/i.test(reason)) return 'its libraries are not installed';
  return reason.trim().split('\n').at(-1)?.replace(/\.$/, '') ?? reason;
}
