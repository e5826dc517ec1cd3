/** Steps of requests in the engine, as its thread reports them: one step of a kind for each request, however many actions it took. */
import type { EngineListener } from '../engine/client.ts';
import type { RequestTrace } from '../engine/request-trace.ts';
import type { CompletedAction } from '../engine/stats.ts';

/** `busyMs`: time of its actions, which others share and interrupt. */
type Step = { startedAt: number; endedAt: number; actions: number; busyMs: number };

type TracedJob = {
  trace: RequestTrace;
  submittedAt: number;
  steps: Map<string, Step>;
  tokens: number;
};

/**
 * Adds the steps `queue`, `encode_image`, `match`, `prefill` and `decode` to the traces of jobs.
 * @example engine.listen(new EngineSteps());
 */
export class EngineSteps implements EngineListener {
  readonly #jobs = new Map<number, TracedJob>();
  /** Jobs that have ended, and when: their last action is reported after their last event. */
  readonly #ended = new Map<number, number>();

  onStart(id: number, _kind: unknown, trace: RequestTrace): void {
    if (!trace.isRecorded) return;
    this.#jobs.set(id, { trace, submittedAt: performance.now(), steps: new Map(), tokens: 0 });
  }

  onStats({ done }: Parameters<EngineListener['onStats']>[0]): void {
    for (const id of done?.jobs ?? []) this.#add(id, done as CompletedAction);
    this.flush();
  }

  onTokens(id: number, { count }: { count: number }): void {
    const job = this.#jobs.get(id);
    if (job !== undefined) job.tokens += count;
  }

  onEnd(id: number): void {
    if (this.#jobs.has(id)) this.#ended.set(id, performance.now());
  }

  onRejected(): void {}

  /** Adds the steps of all jobs that have ended. */
  flush(): void {
    for (const [id, endedAt] of this.#ended) {
      const job = this.#jobs.get(id);
      if (job !== undefined) emit(job, endedAt);
      this.#jobs.delete(id);
    }
    this.#ended.clear();
  }

  #add(id: number, action: CompletedAction): void {
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    const startedAt = action.startedAt - performance.timeOrigin;
    const name = nameOf(action);
    const step = job.steps.get(name) ?? { startedAt, endedAt: 0, actions: 0, busyMs: 0 };
    step.endedAt = startedAt + action.ms;
    step.actions += 1;
    step.busyMs += action.ms;
    job.steps.set(name, step);
  }
}

function nameOf({ action, compares }: CompletedAction): string {
  switch (action) {
    case 'images':
      return compares ? 'match' : 'encode_image';
    case 'prefill':
    case 'prefill-chunk':
      return 'prefill';
    case 'step':
      return 'decode';
  }
}

function emit({ trace, submittedAt, steps, tokens }: TracedJob, endedAt: number): void {
  const [first] = steps.values();
  trace.step('queue', submittedAt, Math.max(submittedAt, first?.startedAt ?? endedAt));
  for (const [name, { startedAt, endedAt, actions, busyMs }] of steps) {
    const counted = name === 'decode' && { 'blip2.tokens': tokens };
    const attributes = { 'blip2.actions': actions, 'blip2.busy_ms': busyMs, ...counted };
    trace.step(name, startedAt, endedAt, attributes);
  }
}
