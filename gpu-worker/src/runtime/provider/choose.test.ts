import { describe, expect, it } from 'vitest';
import type { ExecutionProvider } from '../session-options.ts';
import { candidates, chooseProvider } from './choose.ts';
import type { Probe } from './probe.ts';

const loaded = (change: Partial<Extract<Probe, { state: 'loaded' }>> = {}): Probe => {
  return { state: 'loaded', products: true, attention: true, speed: 20, ...change };
};
const failed = (reason: string): Probe => ({ state: 'failed', reason });
const NO_ADAPTER = failed('Failed to get a WebGPU adapter: No supported adapters\n');
const NO_LIBRARIES = failed('Error: …_Cuda: Failed to load shared library');

describe('auto', () => {
  it.each<[string, Partial<Record<ExecutionProvider, Probe>>, ExecutionProvider, string]>([
    ['the first that is fast enough', { cuda: loaded() }, 'cuda', "20 times the CPU's speed"],
    [
      'webgpu where cuda is not installed',
      { cuda: NO_LIBRARIES, webgpu: loaded({ speed: 3.5123 }) },
      'webgpu',
      "3.5 times the CPU's speed",
    ],
    [
      'the CPU on a machine without a GPU',
      { cuda: NO_LIBRARIES, webgpu: NO_ADAPTER },
      'cpu',
      'cuda: its libraries are not installed; webgpu: no adapter',
    ],
    [
      'the CPU rather than a GPU that the CPU emulates',
      { webgpu: loaded({ speed: 0.0021 }) },
      'cpu',
      "webgpu: 0.0021 times the CPU's speed",
    ],
    [
      'no GPU whose products are wrong',
      { webgpu: loaded({ products: false }) },
      'cpu',
      'webgpu: computes wrong here',
    ],
    [
      'no GPU whose attention is wrong',
      { webgpu: loaded({ attention: false }) },
      'cpu',
      'webgpu: computes wrong here',
    ],
    [
      'no GPU whose driver crashes',
      { webgpu: failed('its probe ended with SIGSEGV: oh') },
      'cpu',
      'webgpu: its probe ended with SIGSEGV: oh',
    ],
  ])('chooses %s', (_, probes, provider, why) => {
    const found = new Map(Object.entries(probes) as [ExecutionProvider, Probe][]);
    expect(chooseProvider('auto', found)).toEqual({ provider, why });
  });
});

describe('a provider that is requested by name', () => {
  it('is chosen when it computes right, however slow', () => {
    const found = new Map([['webgpu', loaded({ speed: 0.01 })]] as const);
    expect(chooseProvider('webgpu', found)).toEqual({ provider: 'webgpu', why: '' });
  });

  it('runs attention on the CPU where its own is wrong', () => {
    const found = new Map([['webgpu', loaded({ attention: false })]] as const);
    expect(chooseProvider('webgpu', found).why).toContain('attention on the CPU');
  });

  it.each<[ExecutionProvider, Probe, RegExp]>([
    ['webgpu', NO_ADAPTER, /"webgpu" cannot be used: no adapter. Install a Vulkan driver.*=cpu/],
    ['cuda', NO_LIBRARIES, /its libraries are not installed. Fetch.*cuda12 node .*install.js/],
    ['cuda', loaded({ products: false }), /"cuda" cannot be used: its products are wrong/],
    ['cuda', loaded({ attention: false }), /its attention is wrong/],
  ])('%s is refused, with advice, when it cannot be used', (provider, probe, message) => {
    expect(() => chooseProvider(provider, new Map([[provider, probe]]))).toThrow(message);
  });

  it('the CPU needs no probe', () => {
    expect(candidates('cpu')).toEqual([]);
  });
});
