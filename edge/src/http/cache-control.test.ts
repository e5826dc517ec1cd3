import { describe, expect, it } from 'vitest';
import { cacheUseOf } from './cache-control.ts';

const ALL = { maxAge: Number.POSITIVE_INFINITY, mayStore: true };

describe('what a request lets a cache do', () => {
  it.each<[Record<string, string>, object]>([
    [{}, ALL],
    [{ 'cache-control': '' }, ALL],
    [{ 'cache-control': 'no-cache' }, { maxAge: 0, mayStore: true }],
    [{ 'cache-control': 'No-Cache' }, { maxAge: 0, mayStore: true }],
    [{ 'cache-control': 'max-age=0' }, { maxAge: 0, mayStore: true }],
    [{ 'cache-control': 'max-age=60' }, { maxAge: 60, mayStore: true }],
    [{ 'cache-control': 'max-age="60", max-age=30' }, { maxAge: 30, mayStore: true }],
    [{ 'cache-control': 'max-age=soon' }, { maxAge: 0, mayStore: true }],
    [{ 'cache-control': 'no-store' }, { maxAge: 0, mayStore: false }],
    [{ 'cache-control': `${'private,'.repeat(63)}no-store` }, { maxAge: 0, mayStore: false }],
    [{ 'cache-control': `${'private,'.repeat(64)}no-store` }, ALL],
    [{ 'cache-control': 'max-age=60 ,no-store' }, { maxAge: 0, mayStore: false }],
    [{ 'cache-control': 'no-transform, private, x=no-store' }, ALL],
    [{ pragma: 'no-cache' }, { maxAge: 0, mayStore: true }],
    [
      { pragma: 'no-cache', 'cache-control': 'max-age=9' },
      { maxAge: 9, mayStore: true },
    ],
  ])('%j', (headers, expected) => {
    expect(cacheUseOf(new Headers(headers))).toEqual(expected);
  });
});
