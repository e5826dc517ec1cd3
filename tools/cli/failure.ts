/** Why a command of the client did not do what it should: words for people, and the status that it ends with. */
import { PROBLEMS, Problem, type ProblemSlug } from '@blip2/shared/errors';
import { OpenAiError } from '@blip2/shared/schemas/openai/error';

/** Exit statuses of `blip2`. */
export const EXIT = {
  /** Some items failed, were not run, or could not be sent. */
  failedItems: 1,
  /** The command line, or a file that it names, is wrong. */
  usage: 2,
  /** The service refused. */
  refused: 3,
  /** The service did not answer, or not for long. */
  unreachable: 4,
  interrupted: 130,
} as const;

export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: number;
  /** Which problem the service has, where it is one. */
  readonly slug: string | undefined;

  constructor(message: string, exitCode: number = EXIT.usage, slug?: string) {
    super(message);
    this.exitCode = exitCode;
    this.slug = slug;
  }
}

/** What a reply that is none of 2xx says: title, detail and remedy. @param text its body */
export function refusal(status: number, text: string): CliError {
  const value = parsed(text);
  const problem = Problem.safeParse(value);
  if (problem.success) {
    return new CliError(wordsOf(problem.data), EXIT.refused, slugOf(problem.data));
  }
  const ofOpenAi = OpenAiError.safeParse(value);
  if (!ofOpenAi.success) {
    const about = text.trim() === '' ? 'The reply is empty.' : text.trim().slice(0, 300);
    return new CliError(`${status}\n${about}`, EXIT.refused);
  }
  const { message, code } = ofOpenAi.data.error;
  const slug = code?.replaceAll('_', '-') ?? '';
  const title = `${status} ${kindOf(slug)?.title ?? ''}`.trimEnd();
  const lines = [title, message, remedyOf(slug)];
  return new CliError(lines.filter(Boolean).join('\n'), EXIT.refused, slug);
}

/** What helps who types commands, where that is not what helps who writes requests. */
const OF_COMMANDS: Partial<Record<string, string>> = {
  'not-found': 'Check the id and the key: blip2 jobs list prints the jobs of a key.',
  'storage-full':
    'Delete jobs that have ended with blip2 jobs delete ID, or cancel others with blip2 jobs cancel ID. Files that blip2 uploads are stored for a day.',
  'job-not-ready':
    'blip2 jobs watch ID waits for the end of a job; blip2 jobs cancel ID cancels it.',
};

/** @example wordsOf(problem) // '400 The request is not valid\nmax_tokens: must be more than 0.\n`field` names it …' */
export function wordsOf(problem: Problem): string {
  const { status, title, detail } = problem;
  return [`${status} ${title}`, detail, remedyOf(slugOf(problem))].filter(Boolean).join('\n');
}

const remedyOf = (slug: string) => OF_COMMANDS[slug] ?? kindOf(slug)?.remedy;

const slugOf = ({ type }: Problem) => type.replace(/^.*\//, '');

function kindOf(slug: string): (typeof PROBLEMS)[ProblemSlug] | undefined {
  return Object.hasOwn(PROBLEMS, slug) ? PROBLEMS[slug as ProblemSlug] : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
