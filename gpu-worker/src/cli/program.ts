/** Command line and options of `npm run model`. */
import { text } from '@blip2/shared/config/kinds';
import { option } from '@blip2/shared/config/option';
import { WORKER_OPTIONS } from '../config.ts';
import { MODEL_OPTIONS } from '../model-options.ts';

// Which checkpoint it is about is an argument.
const { checkpoint: _checkpoint, retrievalCheckpoint: _retrieval, ...building } = MODEL_OPTIONS;

const group = 'Pulling';

export const MODEL_PROGRAM = {
  command: 'npm run model --',
  arguments: ['<command>', '<argument>'],
  summary: 'Pulls checkpoints, builds bundles, and describes them.',
  details: `  pull <model>         downloads a checkpoint from a Hugging Face hub, prints its folder; continues what was
                       stopped, and fetches nothing twice
  build <checkpoint>   makes the bundle of a checkpoint, prints its path
  info <checkpoint>    prints what it is (built first); a bundle will do too

A model is owner/name, owner/name@revision, or the URL of its page. A checkpoint is a folder in Hugging
Face's format or a model, which is pulled first if it is not in the cache.`,
  options: {
    revision: option({
      flag: 'revision',
      kind: text('NAME'),
      defaultText: 'main',
      group,
      help: 'branch, tag, refs/pr/N or commit of the model to pull',
    }),
    out: option({
      flag: 'out',
      kind: text('FOLDER'),
      defaultText: "the hub's cache",
      group,
      help: 'folder for the pulled files themselves',
    }),
    ...building,
  },
  family: WORKER_OPTIONS,
};
