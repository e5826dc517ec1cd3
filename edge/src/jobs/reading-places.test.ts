import { expect, test } from 'vitest';
import { ReadingPlaces } from './reading-places.ts';

test('two jobs of one owner read at a time, and those of others beside them', () => {
  const places = new ReadingPlaces();
  const enter = (job: string) => places.enter(job, job.slice(0, 1), 0);
  expect(['a1', 'a2', 'a3', 'b1', 'b2', 'b3'].map(enter)).toEqual([
    ...[true, true, false, true, true, false],
  ]);
  places.leave('a1');
  // Whoever has waited longer comes first.
  expect(['a4', 'a1', 'a3'].map(enter)).toEqual([false, false, true]);
});

test('a job that has read a part comes behind those that wait', () => {
  const places = new ReadingPlaces();
  for (const job of ['1', '2', '3', '4']) places.enter(job, 'a', 0);
  const order: string[] = [];
  let reading = ['1', '2'];
  for (let round = 0; round < 3; round++) {
    for (const job of reading) places.leave(job);
    reading = ['1', '2', '3', '4'].filter((job) => places.enter(job, 'a', round));
    order.push(reading.join());
  }
  expect(order).toEqual(['3,4', '1,2', '3,4']);
});

test('eight jobs read at a time', () => {
  const places = new ReadingPlaces();
  const entered = Array.from({ length: 12 }, (_, i) => places.enter(`${i}`, `owner ${i}`, 0));
  expect(entered.filter(Boolean)).toHaveLength(8);
});

test('jobs that are gone take no place', () => {
  const places = new ReadingPlaces();
  for (const job of ['1', '2', '3']) places.enter(job, 'a', 0);
  expect(places.enter('4', 'a', 4000)).toBe(false);
  expect(places.enter('4', 'a', 60_000)).toBe(true);
});
