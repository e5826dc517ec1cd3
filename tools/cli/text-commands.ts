/** `blip2 caption` and `blip2 ask`. */
import { Warning } from '@blip2/shared/schemas/generation';
import * as z from 'zod/mini';
import type { Api } from './api.ts';
import { imageOf, replyTo, textOf } from './ask.ts';
import { type Command, command, print, say } from './command.ts';
import { written } from './download.ts';
import { CliError, EXIT } from './failure.ts';
import { ASK, CAPTION } from './programs.ts';
import { settingsOf } from './settings.ts';

export const caption: Command = command(
  CAPTION,
  async (api, { json, ...settings }, images) =>
    await write(api, '/v1/captions', images, { json, settings: settingsOf(settings) }),
);

export const ask: Command = command(ASK, async (api, { json, ...settings }, [image, question]) => {
  if (image === undefined || question === undefined) {
    throw new CliError('It needs an image and a question: blip2 ask photo.jpg "what is it?"');
  }
  const body = settingsOf({ ...settings, question });
  return await write(api, '/v1/answers', [image], { json, settings: body });
});

/** Texts of images, as they come; of several, each on a line behind its name. */
async function write(
  api: Api,
  path: string,
  images: readonly string[],
  { json, settings }: { json: boolean; settings: object },
): Promise<number> {
  if (images.length === 0) throw new CliError('It needs an image: a file, or a URL.');
  let exitCode = 0;
  const warned = new Map<string, string[]>();
  const note = (source: string, warnings: readonly Warning[] = []) => {
    for (const { detail, remedy } of warnings) {
      const words = `${detail} ${remedy}`;
      warned.set(words, [...(warned.get(words) ?? []), source]);
    }
  };
  for (const source of images) {
    try {
      const body = { image: await imageOf(source), ...settings };
      if (json) {
        const reply = await replyTo(api, path, body);
        await print(JSON.stringify(reply));
        note(source, WithWarnings.safeParse(reply).data?.warnings);
        continue;
      }
      if (images.length > 1) await written(process.stdout, `${source}: `);
      const texts = textOf(api, path, body, (warning) => note(source, [warning]));
      for await (const text of texts) await written(process.stdout, text);
      await print('');
    } catch (error) {
      const isOfImage = error instanceof CliError && error.exitCode !== EXIT.unreachable;
      if (images.length === 1 || !isOfImage) throw error;
      exitCode = EXIT.failedItems;
      say(`${source}: ${error.message}`);
    }
  }
  for (const [words, sources] of warned) say(`${shortened(sources)}: ${words}`);
  return exitCode;
}

const MAX_NAMED = 3;

/** @example shortened(['a', 'b', 'c', 'd', 'e']) // 'a, b, c and 2 others' */
function shortened(sources: readonly string[]): string {
  const others = sources.length - MAX_NAMED;
  const named = sources.slice(0, MAX_NAMED).join(', ');
  return others > 0 ? `${named} and ${others} others` : named;
}

const WithWarnings = z.object({ warnings: z.optional(z.array(Warning)) });
