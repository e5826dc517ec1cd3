/** What the metrics of real workers say of a run: images that were encoded, prompts whose image positions were cached. */

export type WorkerCounts = {
  encodes: number;
  prefixHits: number;
  prefixMisses: number;
  /** Of the prefix cache, now. */
  prefixBytes: number;
};

/** @param url of a GPU worker */
export async function workerCounts(url: string): Promise<WorkerCounts> {
  const response = await fetch(`${url}/metrics`);
  return countsFrom(await response.text());
}

/** @param text in Prometheus' form */
export function countsFrom(text: string): WorkerCounts {
  const counter = (name: string, label: string) => {
    const line = text.split('\n').find((one) => one.startsWith(`${name}{`) && one.includes(label));
    return Number(line?.split(' ').at(-1) ?? 0);
  };
  const prefix = 'blip2_prefix_cache_lookups_total';
  return {
    encodes: counter('blip2_engine_action_seconds_count', 'action="images"'),
    prefixHits: counter(prefix, 'result="hit"'),
    prefixMisses: counter(prefix, 'result="miss"'),
    prefixBytes: counter('blip2_prefix_cache_bytes', ''),
  };
}
