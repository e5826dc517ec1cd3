import { expect, it } from 'vitest';
import { LinkedSignal } from './linked-signal.ts';

const controllers = () => [new AbortController(), new AbortController()] as const;

it('aborts with the reason of the source that aborts first', () => {
  const [one, other] = controllers();
  using linked = new LinkedSignal(one.signal, other.signal);
  expect(linked.signal.aborted).toBe(false);
  other.abort('the second');
  one.abort('the first');
  expect(linked.signal.reason).toBe('the second');
});

it('is aborted at once where a source is', () => {
  const [one, other] = controllers();
  one.abort('before');
  using linked = new LinkedSignal(other.signal, one.signal);
  expect(linked.signal.reason).toBe('before');
});

it('no longer hears its sources once it is disposed', () => {
  const [one, other] = controllers();
  const linked = new LinkedSignal(one.signal, other.signal);
  linked[Symbol.dispose]();
  one.abort();
  expect(linked.signal.aborted).toBe(false);
});
