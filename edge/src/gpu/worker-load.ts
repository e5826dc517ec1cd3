/** What the GPU worker's own metrics say of its service times: how long its engine took for what it has served. */

/** @property seconds of its engine, of all that it has served since it started */
export type WorkerLoad = { requests: number; seconds: number; waiting: number };

/**
 * @param text in Prometheus' form
 * @example loadFrom('blip2_requests_total{kind="generate",outcome="done"} 5\n').requests // 5
 */
export function loadFrom(text: string): WorkerLoad {
  return {
    requests: sumOf(text, /^blip2_requests_total\{[^}]*outcome="done"[^}]*\} (\S+)/gm),
    seconds: sumOf(text, /^blip2_engine_action_seconds_sum(?:\{[^}]*\})? (\S+)/gm),
    waiting: sumOf(text, /^blip2_num_requests_admitted(?:\{[^}]*\})? (\S+)/gm),
  };
}

function sumOf(text: string, pattern: RegExp): number {
  const values = [...text.matchAll(pattern)].map(([, value]) => Number(value));
  return values.reduce((sum, value) => sum + (Number.isFinite(value) ? value : 0), 0);
}
