/** `blip2 jobs create`. */
import type { Values } from '@blip2/shared/config/option';
import type { JobTask } from '@blip2/shared/schemas/jobs/request';
import { type Command, command, print, say } from './command.ts';
import { createJobs, estimateJobs, type NewJob } from './create-job.ts';
import { CliError, EXIT } from './failure.ts';
import { onInterrupt } from './interrupt.ts';
import { sayWebhookSecret, watch } from './job-commands.ts';
import { CREATE } from './programs.ts';
import { pairsOf, settingsOf } from './settings.ts';
import { itemLines, type NeededMember } from './sources.ts';

export const create: Command = command(CREATE, async (api, config, sources) => {
  let skipped = 0;
  const onSkip = (name: string, why: string) => {
    skipped++;
    say(`${name} is left out: ${why}`);
  };
  const job = newJob(config, sources, onSkip);
  const exitCode = () => (skipped > 0 ? EXIT.failedItems : 0);
  if (config.dryRun) {
    const estimate = await estimateJobs(api, job);
    if (estimate === null) throw new CliError('There are no images.');
    await print(JSON.stringify(estimate, null, 2));
    return exitCode();
  }
  const ids: string[] = [];
  for await (const created of createJobs(api, job)) {
    ids.push(created.id);
    await print(config.json ? JSON.stringify(created) : created.id);
    if (!config.json) sayWebhookSecret(created);
    onInterrupt(`Created, and not canceled: ${ids.join(' ')}`);
  }
  if (ids.length === 0) throw new CliError('There are no images.');
  if (config.watch) return Math.max(await watch(api, ids), exitCode());
  say(`blip2 jobs watch ${ids.join(' ')}`);
  return exitCode();
});

/** What a task cannot be done without, for all items by an option or for each by its line. */
const NEEDS: Partial<Record<JobTask, NeededMember>> = { answer: 'question', match: 'texts' };

function newJob(
  config: Values<typeof CREATE.options>,
  sources: readonly string[],
  onSkip: (name: string, why: string) => void,
): NewJob {
  const { task, prefix, metadata, webhook, expiresAfter, cacheEmbeddings, idempotencyKey } = config;
  if ((prefix === undefined) === (sources.length === 0)) {
    throw new CliError(
      'It needs images (files, a folder, lines or URLs), or --prefix: one of the two.',
    );
  }
  const settings = settingsOf(config);
  const images = config.dryRun ? 'hashes' : 'bytes';
  const needed = NEEDS[task];
  const needs = needed === undefined || needed in settings ? undefined : needed;
  if (prefix !== undefined && needs !== undefined) {
    throw new CliError(`--task ${task} needs --${needs} TEXT.`);
  }
  return {
    options: {
      task,
      ...(Object.keys(settings).length > 0 && { settings }),
      ...(metadata.length > 0 && { metadata: pairsOf(metadata, '--metadata') }),
      ...(webhook !== undefined && { webhook: { url: webhook } }),
      ...(expiresAfter !== undefined && { expires_after: expiresAfter }),
      ...(cacheEmbeddings && { cache_embeddings: true }),
    },
    input:
      prefix === undefined ? { lines: itemLines(sources, { onSkip, images, needs }) } : { prefix },
    limits: { maxLines: config.maxItems, maxBytes: config.maxFileBytes },
    idempotencyKey,
  };
}
