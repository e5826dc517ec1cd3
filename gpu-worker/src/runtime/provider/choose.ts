/** Which execution provider runs the model, and why. Pure: what was asked for and what was found in, a choice out. */
import type { ExecutionProvider } from '../session-options.ts';
import type { Probe } from './probe.ts';

/** What may be asked for. */
export type Asked = ExecutionProvider | 'auto';

/** `why` in a few words; '' where there is nothing to say. */
export type ProviderChoice = { provider: ExecutionProvider; why: string };

type Gpu = Exclude<ExecutionProvider, 'cpu'>;

/** The best first. */
const GPUS = ['cuda', 'webgpu'] as const satisfies readonly Gpu[];
/** Times the CPU's speed that make a GPU worth it: less may be chance, or a GPU that is played by the CPU. */
const WORTH_IT = 2;

const INSTALL: Record<Gpu, string> = {
  webgpu:
    "Install a Vulkan driver: on Debian libvulkan1 with mesa-vulkan-drivers, or the GPU vendor's.",
  cuda:
    'Fetch its libraries with ' +
    '"ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js", ' +
    'and install CUDA 12 and cuDNN 9.',
};

/** What has to be probed, in this order, until one is good. */
export function candidates(asked: Asked): readonly Gpu[] {
  if (asked === 'auto') return GPUS;
  return asked === 'cpu' ? [] : [asked];
}

/** Whether `auto` takes it: right in everything and clearly faster than the CPU. */
export function isGood(probe: Probe): boolean {
  return probe.state === 'loaded' && probe.products && probe.attention && probe.speed >= WORTH_IT;
}

/** @throws Error that says what to do, when the provider that was asked for cannot be used */
export function chooseProvider(
  asked: Asked,
  probes: ReadonlyMap<ExecutionProvider, Probe>,
): ProviderChoice {
  if (asked === 'auto') return best(probes);
  if (asked === 'cpu') return { provider: asked, why: '' };
  const found = probes.get(asked) ?? { state: 'failed', reason: 'it was not probed' };
  const refuse = (reason: string, advice: string) => {
    const way = [advice, 'BLIP2_EXECUTION_PROVIDER=cpu always works.'].join(' ').trim();
    return new Error(`The execution provider "${asked}" cannot be used: ${reason}. ${way}`);
  };
  if (found.state === 'failed') throw refuse(inWords(found.reason), INSTALL[asked]);
  if (!found.products) throw refuse('its products are wrong on this device', '');
  if (found.attention) return { provider: asked, why: '' };
  if (asked !== 'webgpu') throw refuse('its attention is wrong on this device', '');
  return { provider: asked, why: 'attention on the CPU, as it is wrong on this device' };
}

function best(probes: ReadonlyMap<ExecutionProvider, Probe>): ProviderChoice {
  const against: string[] = [];
  for (const provider of GPUS) {
    const found = probes.get(provider);
    if (found === undefined) continue;
    if (found.state === 'failed') against.push(`${provider}: ${inWords(found.reason)}`);
    else if (!found.products || !found.attention) against.push(`${provider}: computes wrong here`);
    else if (!isGood(found)) against.push(`${provider}: ${times(found.speed)} the CPU's speed`);
    else return { provider, why: `${times(found.speed)} the CPU's speed` };
  }
  return { provider: 'cpu', why: against.join('; ') };
}

const times = (speed: number) => `${Number(speed.toPrecision(2))} times`;

/** What onnxruntime says of the two common cases, said shortly; else its last line. */
function inWords(reason: string): string {
  if (/no supported adapters/i.test(reason)) return 'no adapter';
  if (/failed to load shared library/i.test(reason)) return 'its libraries are not installed';
  return reason.trim().split('\n').at(-1)?.replace(/\.$/, '') ?? reason;
}
