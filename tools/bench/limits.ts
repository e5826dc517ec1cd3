/** Measures what limits of callers cost: the same cached reply from an edge where nobody has limits, and from one where all have, in turn. */
import { type Stack, startStack } from '../local-stack.ts';
import { known, ratesOf, timesOf, type Way } from './replays.ts';
import { median, quantile } from './statistics.ts';

/** Far beyond what is sent: nothing is refused. */
const MANY = '1000000000';
const LIMITS = {
  ANONYMOUS_REQUESTS_PER_MINUTE: MANY,
  ANONYMOUS_TOKENS_PER_MINUTE: MANY,
  ANONYMOUS_IMAGES_PER_DAY: MANY,
  ANONYMOUS_OPEN_STREAMS: '1000000',
};

export async function limitRows(open: Stack): Promise<string[][]> {
  const limited = await startStack({ vars: LIMITS });
  try {
    const ways = await Promise.all([
      wayTo(open, 'nobody has limits'),
      wayTo(limited, 'each address has limits'),
    ]);
    const times = await timesOf(ways);
    const rates = await ratesOf(ways);
    return [
      ['limits, /v1/captions', 'time (ms)', 'p95 (ms)', 'replies/s'],
      ...ways.map(({ name }) => {
        const all = times.get(name) ?? [];
        return [
          name,
          median(all).toFixed(2),
          quantile(all, 0.95).toFixed(2),
          median(rates.get(name) ?? []).toFixed(0),
        ];
      }),
    ];
  } finally {
    await limited.stop();
  }
}

async function wayTo(stack: Stack, name: string): Promise<Way> {
  const body = JSON.stringify({ image: { sha256: await known(stack) } });
  return { name, url: `${stack.url}/v1/captions`, body: () => body };
}
