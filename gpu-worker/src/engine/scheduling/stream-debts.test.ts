import { describe, expect, it } from 'vitest';
import { StreamDebts } from './stream-debts.ts';

/** Debts by a clock that stands still unless it is moved. */
function start() {
  let now = 0;
  const debts = new StreamDebts(() => now);
  const pass = (ms: number) => {
    now += ms;
  };
  /** An image, or a prompt. */
  const interrupt = (ms: number, ...clients: string[]) => {
    pass(ms);
    debts.charge(
      clients.map((client) => ({ client, part: 1 })),
      ms,
    );
  };
  return { debts, pass, interrupt };
}

describe('what a client owes', () => {
  it('is the time that its images took, and time pays it', () => {
    const { debts, pass, interrupt } = start();
    expect(debts.owes('a')).toBe(false);
    interrupt(50, 'a');
    pass(49);
    expect(debts.owes('a')).toBe(true);
    pass(1);
    expect(debts.owes('a')).toBe(false);
  });

  it('is paid by no time in which images are computed, of whomever', () => {
    const { debts, pass, interrupt } = start();
    interrupt(50, 'a');
    pass(30);
    interrupt(100, 'b');
    expect(debts.owes('a')).toBe(true);
    pass(20);
    expect(debts.owes('a')).toBe(false);
    expect(debts.owes('b')).toBe(true);
  });

  it('is its part of what several waited for', () => {
    const { debts, pass, interrupt } = start();
    interrupt(50, 'a', 'b', 'a', 'a', 'a');
    pass(10);
    expect(debts.owes('b')).toBe(false);
    pass(29);
    expect(debts.owes('a')).toBe(true);
    pass(1);
    expect(debts.owes('a')).toBe(false);
  });

  it('is no more than a second after many images, and all of one that took longer', () => {
    const { debts, pass, interrupt } = start();
    for (let i = 0; i < 100; i++) interrupt(50, 'a');
    pass(999);
    expect(debts.owes('a')).toBe(true);
    pass(1);
    expect(debts.owes('a')).toBe(false);
    interrupt(4000, 'a');
    pass(3999);
    expect(debts.owes('a')).toBe(true);
  });
});
