/** Reads command lines and environments: each is taken, or refused by a ConfigError that shows no secret. */
import { MODEL_PROGRAM } from '@blip2/gpu-worker/cli/program';
import { WORKER_PROGRAM } from '@blip2/gpu-worker/config';
import { readProgram } from '@blip2/shared/config/configure';
import type { Options } from '@blip2/shared/config/option';
import type { Program } from '@blip2/shared/config/program';
import { ConfigError } from '@blip2/shared/config/read-options';
import * as programs from '../../programs.ts';
import { Violation } from '../violation.ts';

export type ArgumentsInput = { program: string; args: string[]; env: Record<string, string> };

/** By command. */
export const PROGRAMS: ReadonlyMap<string, Program<Options>> = new Map(
  [...Object.values(programs), WORKER_PROGRAM, MODEL_PROGRAM].map((program) => [
    program.command,
    program as Program<Options>,
  ]),
);

export function readArguments({ program: command, args, env }: ArgumentsInput): string {
  const program = PROGRAMS.get(command);
  if (program === undefined) throw new Violation(`there is no program ${command}`);
  try {
    const read = readProgram(program, { args, env });
    if (read === null) return 'help';
    for (const [name, value] of Object.entries(read.values)) {
      // Whole numbers, but for shares.
      const isMeant = (number: number) =>
        Number.isSafeInteger(number) || (number > 0 && number < 1);
      if (typeof value === 'number' && !isMeant(value)) {
        throw new Violation(`${name} is read as ${value}`);
      }
    }
    return 'read';
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const { secret, env: variable = '' } of Object.values(program.options)) {
      const value = env[variable] ?? '';
      if (secret && value.length > 8 && error.message.includes(value)) {
        throw new Violation(`the error shows the value of ${variable}`);
      }
    }
    if (error.message.trim() === '') throw new Violation('an error without words');
    return 'refused';
  }
}
