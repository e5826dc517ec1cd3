/** A request's options of a generation under our names: what other libraries call them is taken, contradictions are not. */
import { ApiError } from '../errors.ts';
import type { CaptionOptions } from '../schemas/captions.ts';
import { type otherNames, SAME_OPTION } from '../schemas/other-names.ts';

/** Options of a generation as a request has them, each of which may be absent. */
export type GenerationOptions = Omit<CaptionOptions, 'prompt' | 'stream'>;

/** The same under our names alone. */
type OurOptions = Omit<GenerationOptions, keyof typeof otherNames>;

/** What transformers samples with where nothing is said. */
const DEFAULT_TEMPERATURE = 1;

/**
 * @throws ApiError `invalid-request` where two names contradict each other
 * @example generationOptionsFrom({ max_new_tokens: 9, do_sample: true }) // { max_tokens: 9, temperature: 1 }
 */
export function generationOptionsFrom({ do_sample, ...rest }: GenerationOptions): OurOptions {
  const ours: Record<string, unknown> = {};
  const namedBy = new Map<string, string>();
  for (const [name, value] of Object.entries(rest)) {
    const our = Object.hasOwn(SAME_OPTION, name)
      ? SAME_OPTION[name as keyof typeof SAME_OPTION]
      : name;
    if (value === undefined) continue;
    const earlier = namedBy.get(our);
    if (earlier !== undefined && ours[our] !== value) {
      const detail = `${name}: is another name of ${earlier}, and ${earlier} is ${ours[our]}: give one of them.`;
      throw new ApiError('invalid-request', detail, { field: name });
    }
    namedBy.set(our, name);
    ours[our] = value;
  }
  const { temperature } = rest;
  return { ...ours, ...temperatureOf(do_sample, temperature) };
}

/** What `do_sample` says of the temperature. */
function temperatureOf(
  do_sample: boolean | undefined,
  temperature: number | undefined,
): { temperature?: number } {
  if (do_sample === undefined) return {};
  if (do_sample) {
    if (temperature !== 0) return { temperature: temperature ?? DEFAULT_TEMPERATURE };
    throw contradiction('do_sample: true samples, and temperature 0 does not: raise temperature.');
  }
  // 1 is what transformers writes where no temperature is meant.
  if ([0, DEFAULT_TEMPERATURE, undefined].includes(temperature)) return { temperature: 0 };
  throw contradiction(
    `do_sample: false does not sample, and temperature ${temperature} does: leave one of them out.`,
  );
}

function contradiction(detail: string): ApiError {
  return new ApiError('invalid-request', detail, { field: 'do_sample' });
}
