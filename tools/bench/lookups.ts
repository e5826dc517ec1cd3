/** Measures embedding look-ups a second against a bare route of another Worker, served in the same way. */
import { join } from 'node:path';
import autocannon from 'autocannon';
import { postJson } from '../api.ts';
import { buildWorker } from '../build-worker.ts';
import type { Stack } from '../local-stack.ts';
import { ROOT } from '../prepare-edge.ts';
import { readImage, readScenes } from '../scenes.ts';
import { serveWorker } from '../serve-worker.ts';
import { median } from './statistics.ts';

const TURNS = 3;
const SECONDS = 3;
const CONNECTIONS = 16;
const BARE = 'bare workerd route';

export async function lookupRows(stack: Stack): Promise<string[][]> {
  const entrypoint = join(ROOT, 'tools/bench/bare-worker.ts');
  const config = join(ROOT, 'tools/bench/bare-worker.toml');
  const built = await buildWorker({ config, entrypoint, sources: [entrypoint] });
  const bare = await serveWorker(built, { config });
  const bytes = await readImage((await readScenes())[0]!);
  const reply = await postJson(`${stack.url}/v1/embeddings`, {
    image: { data: Buffer.from(bytes).toString('base64') },
  });
  const { sha256 } = (reply as { image: { sha256: string } }).image;
  const targets = [
    { name: BARE, url: bare.url, accept: '*/*' },
    ...['application/octet-stream', 'application/x-npy', 'application/json'].map((accept) => ({
      name: `GET /v1/embeddings/{sha256}, ${accept}`,
      url: `${stack.url}/v1/embeddings/${sha256}`,
      accept,
    })),
  ];
  const rates = new Map<string, number[]>(targets.map(({ name }) => [name, []]));
  for (let turn = 0; turn < TURNS; turn++) {
    for (const { name, url, accept } of targets) {
      const result = await autocannon({
        url,
        connections: CONNECTIONS,
        duration: SECONDS,
        headers: { accept },
      });
      if (result.non2xx > 0) throw new Error(`${name}: ${result.non2xx} replies were not 2xx`);
      rates.get(name)?.push(result.requests.average);
    }
  }
  await bare.stop();
  const base = median(rates.get(BARE) ?? []);
  return [
    ['look-ups', 'requests/s', 'of the bare route'],
    ...targets.map(({ name }) => {
      const rate = median(rates.get(name) ?? []);
      return [name, rate.toFixed(0), `${((100 * rate) / base).toFixed(0)} %`];
    }),
  ];
}
