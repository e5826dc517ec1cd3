/** A checkpoint of LAVIS: its own tensors, the parts that it froze and did not save, and a config made of both. */
import { join, resolve } from 'node:path';
import { CheckpointError } from '../errors.ts';
import type { RevisionInput } from '../revision.ts';
import { resolveBaseFolder } from './base-folder.ts';
import {
  lavisConfig,
  lavisPreprocessor,
  visionLayers,
  withoutLaterBlocks,
} from './lavis-config.ts';
import { fromImageEncoder, fromLavis, type LavisKind } from './lavis-names.ts';
import { LAVIS_SETTINGS, type LavisSettings, readLavisSettings } from './lavis-settings.ts';
import { setEndOfText, textConfig } from './lavis-text-config.ts';
import type { OpenCheckpoint, OpenOptions } from './open-checkpoint-types.ts';
import { Shapes } from './shapes.ts';
import { stageFolder } from './staged-folder.ts';
import { renamed, type TensorSource } from './tensor-source.ts';
import { tieEmbeddings } from './tied-tensors.ts';
import { holdsTokenizer, TOKENIZER_FILE } from './tokenizer/token-files.ts';
import { openTorchFile } from './torch-file.ts';
import { type Beside, LAVIS_IMAGE_ENCODERS, totalBytes } from './weight-files.ts';

type LavisFiles = {
  folder: string;
  name: string;
  /** Names of what is in the folder. */
  present: readonly string[];
  /** Of the weights. */
  paths: readonly string[];
  tensors: TensorSource;
  beside: Beside;
};

/** @throws CheckpointError naming the part that is missing, and where to put it */
export async function openLavis(
  files: LavisFiles,
  options: OpenOptions,
  openBase: (folder: string) => Promise<OpenCheckpoint>,
): Promise<OpenCheckpoint> {
  const { folder, paths } = files;
  const [path = folder] = paths;
  const settings = await readLavisSettings(folder, files.beside);
  const own = fromLavis(files.tensors, path);
  const base =
    settings.base === undefined
      ? null
      : await openBase(
          await resolveBaseFolder(
            { id: settings.base, hasTokenizer: holdsTokenizer(files.present) },
            folder,
            options,
            `Put its path into ${LAVIS_SETTINGS}.`,
          ),
        );
  try {
    const parts = await partsOf(files, own.kind, settings, base);
    const all = new Map([...parts.frozen, ...own.tensors]);
    expectWhole(all, own.kind, path);
    const shapes = new Shapes(all, path);
    const tensors = tieEmbeddings(withoutLaterBlocks(all, visionLayers(shapes, settings)));
    return await staged(files, { kind: own.kind, settings, base, tensors, ...parts });
  } catch (error) {
    await base?.[Symbol.asyncDispose]();
    throw error;
  }
}

type Parts = { frozen: TensorSource; encoderPath: string | null };

/** What LAVIS did not save because it was not trained. */
async function partsOf(
  { folder, present }: LavisFiles,
  kind: LavisKind,
  { vision }: LavisSettings,
  base: OpenCheckpoint | null,
): Promise<Parts> {
  const beside = LAVIS_IMAGE_ENCODERS.filter((file) => present.includes(file));
  if (vision === undefined && beside.length > 1) {
    throw new CheckpointError(
      `${folder} has ${beside.join(' and ')}: say which in ${LAVIS_SETTINGS}, {"vision": "${beside[0]}"}.`,
    );
  }
  const file = vision ?? beside[0];
  const encoderPath = file === undefined ? null : resolve(folder, file);
  const encoder =
    encoderPath === null
      ? new Map()
      : fromImageEncoder((await openTorchFile(encoderPath)).tensors, encoderPath);
  const ofBase = base === null ? new Map() : frozenParts(base.tensors, kind);
  return { frozen: new Map([...ofBase, ...encoder]), encoderPath };
}

/** Image encoder and language model of a BLIP-2, or a language model alone. */
function frozenParts(tensors: TensorSource, kind: LavisKind): TensorSource {
  const isBlip2 = tensors.has('query_tokens');
  return renamed(tensors, (name) => {
    if (isBlip2)
      return /^(language_model|vision_model)\.(?!post_layernorm)/.test(name) ? name : null;
    // OPT's own files have the names of the model without its head.
    if (kind === 'opt' && name.startsWith('decoder.')) return `language_model.model.${name}`;
    return `language_model.${name}`;
  });
}

const LANGUAGE_MODELS: Record<string, string> = {
  'opt 2560': 'facebook/opt-2.7b',
  'opt 4096': 'facebook/opt-6.7b',
  't5 2048': 'google/flan-t5-xl',
  't5 4096': 'google/flan-t5-xxl',
};

function expectWhole(tensors: TensorSource, kind: LavisKind, path: string): void {
  const has = (start: string) => tensors.keys().some((name) => name.startsWith(start));
  if (!has('vision_model.encoder.')) {
    const key = tensors.get('qformer.encoder.layer.0.crossattention.attention.key.weight');
    const file = key?.shape[1] === 1024 ? 'clip_vit_L.pth' : 'eva_vit_g.pth';
    throw new CheckpointError(
      `${path} has no image encoder: LAVIS freezes it and does not save it. Put ${file} beside it, or write {"vision": "PATH"} or {"base": "FOLDER OR HUB ID OF A BLIP-2"} into ${LAVIS_SETTINGS} beside it.`,
    );
  }
  if (kind === 'retrieve' || has('language_model.')) return;
  const width = tensors.get('language_projection.weight')?.shape[0];
  const id = LANGUAGE_MODELS[`${kind} ${width}`];
  const model = `${kind === 'opt' ? 'OPT' : 'FlanT5'} of width ${width}${id === undefined ? '' : ` (${id})`}`;
  throw new CheckpointError(
    `${path} has no language model: LAVIS freezes it and does not save it. Write {"base": "FOLDER OR HUB ID"} into ${LAVIS_SETTINGS} beside it, naming ${model} or a BLIP-2 that has it.`,
  );
}

async function staged(
  { folder, name, present, paths }: LavisFiles,
  model: Parts & {
    kind: LavisKind;
    settings: LavisSettings;
    base: OpenCheckpoint | null;
    tensors: TensorSource;
  },
): Promise<OpenCheckpoint> {
  const { kind, settings, base, tensors, encoderPath } = model;
  const shapes = new Shapes(tensors, paths[0] ?? folder);
  const written: Record<string, string> = {};
  if (!present.includes('config.json')) {
    const text = base === null ? null : await textConfig(base, kind, settings);
    const config = lavisConfig(shapes, kind, settings, text?.config ?? null);
    Object.assign(config, text?.beside);
    if (kind === 'opt') await setEndOfText(config, { folder, base, settings });
    written['config.json'] = asJson(config);
    if (!present.includes('preprocessor_config.json')) {
      const { image_size } = config.vision_config as { image_size: number };
      const size = settings.image_size ?? image_size;
      if (size !== image_size && shapes.has('vision_model.pre_layernorm.weight')) {
        throw shapes.fail(
          `is for images of ${image_size} pixels: LAVIS stretches ViT-L's positions to ${size} in another way than ViT-g's, which is not supported`,
        );
      }
      written['preprocessor_config.json'] = asJson(lavisPreprocessor(size));
    }
  }
  // A base has a say in the tokenizer: its processor and its way of ending texts are those of another model.
  const of = base === null ? [] : [{ folder: base.folder, files: TOKENIZER_FILE }];
  const whole = await stageFolder([...of, { folder }], written);
  const inputs: RevisionInput[] = [
    ...paths.map((path) => ({ label: labelOf(path), path })),
    ...(encoderPath === null ? [] : [{ label: labelOf(encoderPath), path: encoderPath }]),
    ...(base?.inputs ?? []).map((input) => ({ ...input, label: `base/${input.label}` })),
    written['config.json'] === undefined
      ? { label: 'config.json', path: join(folder, 'config.json') }
      : { label: 'config.json', text: written['config.json'] },
  ];
  const own = encoderPath === null ? paths : [...paths, encoderPath];
  return {
    name,
    suffix: '',
    folder: whole.folder,
    explain: whole.explain,
    tensors,
    inputs,
    bytes: (await totalBytes(own)) + (base?.bytes ?? 0),
    async [Symbol.asyncDispose]() {
      await whole[Symbol.asyncDispose]();
      await base?.[Symbol.asyncDispose]();
    },
  };
}

function labelOf(path: string): string {
  return path.replace(/^.*[\\/]/, '');
}

function asJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
