/** A command of `blip2`: its options, and what it does with the service. Results go to standard output, all else to standard error. */
import { readProgram } from '@blip2/shared/config/configure';
import { helpOf } from '@blip2/shared/config/help';
import type { Options, Values } from '@blip2/shared/config/option';
import type { Program } from '@blip2/shared/config/program';
import { type Api, connect } from './api.ts';
import { written } from './download.ts';
import type { SERVICE } from './options.ts';
import { visible } from './terminal.ts';

/** Runs with what stands behind its name. @returns the exit status. @throws CliError or ConfigError */
export type Command = (args: readonly string[]) => Promise<number>;

export function command<O extends Options & typeof SERVICE>(
  program: Program<O>,
  work: (api: Api, config: Values<O>, args: readonly string[]) => Promise<number>,
): Command {
  return async (args) => {
    const read = readProgram(program, { args, env: process.env });
    if (read === null) {
      await print(helpOf(program).trimEnd());
      return 0;
    }
    const { url, key } = read.values as Values<typeof SERVICE>;
    return await work(connect({ url, key, onWait: say }), read.values, read.positionals);
  };
}

/** A result. */
export async function print(line: string): Promise<void> {
  await written(process.stdout, `${line}\n`);
}

/** What is no result. */
export function say(line: string): void {
  process.stderr.write(`${visible(line, process.stderr)}\n`);
}
