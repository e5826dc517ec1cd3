/** Members of requests from the command line. */
import { CliError } from './failure.ts';

/**
 * Pairs of names and values, whose order is that of the command line.
 * @example pairsOf(['album=17'], '--metadata') // { album: '17' }
 * @throws CliError for what is no pair, and for a name that is there twice
 */
export function pairsOf(pairs: readonly string[], flag: string): Record<string, string> {
  const members = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) throw new CliError(`${flag} must be NAME=VALUE, not "${pair}".`);
    const name = pair.slice(0, at);
    if (members.has(name)) throw new CliError(`${flag} has ${name} twice.`);
    members.set(name, pair.slice(at + 1));
  }
  return Object.fromEntries(members);
}

type Settings = {
  set: readonly string[];
  maxTokens?: number | undefined;
  prompt?: string | undefined;
  question?: string | undefined;
  texts?: readonly string[] | undefined;
};

/**
 * Settings as the routes have them. Values of `--set` are JSON where they are, and texts else.
 * @example settingsOf({ set: ['temperature=0.7', 'stop= on'] }) // { temperature: 0.7, stop: ' on' }
 */
export function settingsOf({ set, maxTokens, prompt, question, texts }: Settings) {
  const others = Object.entries(pairsOf(set, '--set')).map(([name, value]) => [
    name,
    memberOf(value),
  ]);
  return {
    ...Object.fromEntries(others),
    ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    ...(prompt !== undefined && { prompt }),
    ...(question !== undefined && { question }),
    ...(texts !== undefined && { texts }),
  } as Record<string, unknown>;
}

function memberOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
