/** The commands of `blip2` by the words that are typed. */
import type { Program } from '@blip2/shared/config/program';
import { type Command, command, say } from './command.ts';
import { create } from './create-command.ts';
import { CliError, EXIT } from './failure.ts';
import {
  cancelJobs,
  deleteJobs,
  listJobs,
  readResults,
  retryJob,
  statusOfJobs,
  watchJobs,
} from './job-commands.ts';
import * as programs from './programs.ts';
import { runBatch } from './run-batch.ts';
import { ask, caption } from './text-commands.ts';

const runFile: Command = command(
  programs.RUN_BATCH,
  async (api, { input, output, url, maxItems, maxFileBytes }) => {
    if (input === undefined || output === undefined) {
      throw new CliError('It needs both files: blip2 run-batch -i in.jsonl -o out.jsonl');
    }
    const limits = { maxLines: maxItems, maxBytes: maxFileBytes };
    const { total, failed, warnings } = await runBatch(api, {
      input,
      output,
      limits,
      service: url,
      onWait: say,
    });
    say(`${total - failed} of ${total} completed${failed > 0 ? `, ${failed} failed` : ''}`);
    if (warnings !== undefined) say(warnings);
    return failed > 0 ? EXIT.failedItems : 0;
  },
);

export const COMMANDS: ReadonlyMap<string, { program: Program; run: Command }> = new Map([
  ['caption', { program: programs.CAPTION, run: caption }],
  ['ask', { program: programs.ASK, run: ask }],
  ['jobs create', { program: programs.CREATE, run: create }],
  ['jobs list', { program: programs.LIST, run: listJobs }],
  ['jobs status', { program: programs.STATUS, run: statusOfJobs }],
  ['jobs watch', { program: programs.WATCH_JOB, run: watchJobs }],
  ['jobs results', { program: programs.RESULTS, run: readResults }],
  ['jobs cancel', { program: programs.CANCEL, run: cancelJobs }],
  ['jobs delete', { program: programs.DELETE, run: deleteJobs }],
  ['jobs retry', { program: programs.RETRY, run: retryJob }],
  ['run-batch', { program: programs.RUN_BATCH, run: runFile }],
]);
