/** Command that measures what a model says. */
import { WORKER_OPTIONS } from '@blip2/gpu-worker/config';
import { MODEL_OPTIONS } from '@blip2/gpu-worker/model-options';
import { choice, choices, httpUrl, text, toggle, wholeNumber } from '@blip2/shared/config/kinds';
import { option } from '@blip2/shared/config/option';

const measuring = 'Evaluation';

/** Test scenes drawn by artists whose sprites the embedded model learned from, and by some that it never saw. */
const SCENE_SETS = ['known', 'validation'] as const;
export type SceneSet = (typeof SCENE_SETS)[number];

/** Public data sets on which BLIP-2's authors report results. */
const DATASETS = ['coco', 'nocaps', 'vqav2', 'okvqa', 'gqa', 'flickr30k'] as const;
export type Dataset = (typeof DATASETS)[number];

const publicData = 'Public data sets';

export const EVAL = {
  command: 'npm run eval --',
  summary:
    'Sends every test scene to the API: its caption, then each of its questions by the hash of its bytes, then some of them again as a conversation. Prints exact-match accuracy by layout, question type, earlier turns and artist. With --dataset, a public data set instead, by its own metrics and beside the results of the paper.',
  options: {
    dataset: option({
      flag: 'dataset',
      kind: choice(...DATASETS),
      defaultText: 'the test scenes',
      group: publicData,
      help: 'what to evaluate on; docs/evaluation.md says which files of it are needed',
    }),
    data: option({
      flag: 'data',
      kind: text('FOLDER'),
      group: publicData,
      help: 'where the data set is',
    }),
    task: option({
      flag: 'task',
      kind: choice('captions', 'retrieval'),
      defaultText: 'captions',
      group: publicData,
      help: 'what to do with coco: caption its images, or find captions and images by one another',
    }),
    prompt: option({
      flag: 'prompt',
      kind: text('TEXT'),
      defaultText: "the paper's",
      group: publicData,
      help: 'what captions continue, or "none"; or a template for questions, which are put where it has {}',
    }),
    concurrency: option({
      flag: 'concurrency',
      kind: wholeNumber(1, 64),
      default: 4,
      group: publicData,
      help: 'requests under way at a time',
    }),
    replies: option({
      flag: 'replies',
      kind: text('FOLDER'),
      defaultText: "the data set's",
      group: publicData,
      help: 'where replies are stored, so that an evaluation that was ended goes on where it was',
    }),
    url: option({
      flag: 'url',
      kind: httpUrl(),
      defaultText: 'one of its own',
      group: measuring,
      help: 'an API that already runs',
    }),
    limit: option({
      flag: 'limit',
      kind: wholeNumber(1, 1_000_000),
      defaultText: 'all',
      group: measuring,
      help: 'how many scenes, images or questions, spread over all of them',
    }),
    artists: option({
      flag: 'artists',
      kind: choices(...SCENE_SETS),
      default: ['known'] as const,
      group: measuring,
      help: 'scenes by the artists that the embedded model learned from, or by some that it never saw',
    }),
    outside: option({
      flag: 'outside',
      kind: text('FOLDER'),
      defaultText: 'none',
      group: measuring,
      help: 'how many of these images, which are no scenes, and of the test scenes the model warns about as outside of its training, instead of what is right; folders in it are kinds',
    }),
    failures: option({
      flag: 'failures',
      kind: toggle(),
      default: false,
      group: measuring,
      help: 'print what was answered wrong',
    }),
    precisions: option({
      flag: 'precision',
      kind: choices('fp32', 'int8', 'int4'),
      group: measuring,
      help: 'serve the model in each of these, one after another, and compare them; then each with fp32 on the random checkpoints of the parity tests',
    }),
    ...MODEL_OPTIONS,
    checkpoint: { ...MODEL_OPTIONS.checkpoint, flag: 'checkpoint' },
    retrievalCheckpoint: { ...MODEL_OPTIONS.retrievalCheckpoint, flag: 'retrieval-checkpoint' },
  },
  family: WORKER_OPTIONS,
};
