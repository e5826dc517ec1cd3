/** Opens a graph of a bundle. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { HALF } from '../builder/graphs/layers.ts';
import { type GraphNode, readNodes } from '../onnx/read-nodes.ts';
import { attentionIsRight, FUSED_ATTENTION } from './attention-check.ts';
import type { ExecutionProvider, SessionOptions } from './session-options.ts';

/** As onnxruntime counts severities. */
const ERRORS = 3;

/** Threads of a run wait for each other awake, and stop when it ends: the next session has the cores for itself. */
const AWAKE_IN_RUNS = { session: { force_spinning_stop: '1' } };

/** Where a bundle's graphs lie and what runs them. */
export type SessionPlace = SessionOptions & { bundle: string };

/** Whether results can stay on the device and be read there by the next run (ENGINE.md). */
export function keepsTensors(provider: ExecutionProvider): boolean {
  return provider === 'webgpu';
}

/**
 * @param onDevice results that stay on the device, where the provider keeps them there
 * @throws Error that names the execution provider when it cannot be loaded
 */
export async function openGraph(
  { bundle, executionProvider, threads }: SessionPlace,
  graph: string,
  onDevice: readonly string[] = [],
): Promise<InferenceSession> {
  const located = Object.fromEntries(onDevice.map((name) => [name, 'gpu-buffer'] as const));
  const file = join(bundle, `${graph}.onnx`);
  try {
    return await InferenceSession.create(file, {
      executionProviders: [await providerFor(executionProvider, file)],
      intraOpNumThreads: threads,
      // Buffers of a run come from the arena, one by one: each finds pages that are there. A pattern is one block for all of
      // them, made anew for each shape, and too large for the heap.
      enableMemPattern: false,
      // A GPU provider warns of each graph that nodes which compute shapes stay on the CPU, where they belong.
      ...(executionProvider === 'cpu' ? {} : { logSeverityLevel: ERRORS }),
      ...(keepsTensors(executionProvider) ? { preferredOutputLocation: located } : {}),
      extra: AWAKE_IN_RUNS,
    });
  } catch (cause) {
    throw new Error(
      `The execution provider "${executionProvider}" could not load the model. ` +
        'Set BLIP2_EXECUTION_PROVIDER=cpu, which always works.',
      { cause },
    );
  }
}

/** The provider, told what to leave to the CPU. */
async function providerFor(
  provider: ExecutionProvider,
  file: string,
): Promise<InferenceSession.ExecutionProviderConfig> {
  const isRight = await attentionIsRight(provider);
  if (provider !== 'webgpu') {
    if (!isRight) throw new Error('its fused attention gives wrong numbers here');
    return provider;
  }
  const nodes = readNodes(await readFile(file));
  const attention = isRight ? [] : nodes.filter(({ op }) => FUSED_ATTENTION.has(op));
  const left = [...attention, ...lookUps(nodes)];
  return { name: provider, forceCpuNodeNames: left.map(({ name }) => name) };
}

/**
 * What looks up rows of a table in 16 bits: not every device computes in them, and the table, which is the largest of all
 * weights, need not lie there for a few rows.
 */
function lookUps(nodes: readonly GraphNode[]): GraphNode[] {
  const gathers = nodes.filter(({ op, inputs }) => op === 'Gather' && inputs[0]?.endsWith(HALF));
  const rows = new Set(gathers.map(({ name }) => name));
  const casts = nodes.filter(({ op, inputs }) => op === 'Cast' && rows.has(inputs[0] ?? ''));
  return [...gathers, ...casts];
}
