import { expect, it } from 'vitest';
import { holdBody } from './held-bodies.ts';

const MEBIBYTE = 2 ** 20;
const LIMIT = 4 * MEBIBYTE;
let clients = 0;
const FREE = 64 * 1024;
const open = (client = `${++clients}`) => holdBody(LIMIT, { client, ms: 30_000 });
const overloaded = expect.objectContaining({ slug: 'overloaded' });

it('a body that is alone may have any size, as its own limit is another', () => {
  const body = open();
  body.add(9 * MEBIBYTE);
  body.close();
});

it('large bodies share the limit, and one that is refused or closed leaves it to the others', () => {
  const [first, second, third] = [open(), open(), open()];
  first.add(2 * MEBIBYTE + FREE);
  second.add(2 * MEBIBYTE + FREE);
  expect(() => third.add(MEBIBYTE)).toThrow(overloaded);
  third.close();
  second.close();
  const fourth = open();
  fourth.add(MEBIBYTE + FREE);
  expect(() => fourth.add(2 * MEBIBYTE)).toThrow(overloaded);
  first.close();
  fourth.add(2 * MEBIBYTE);
  fourth.close();
});

it('bodies without an image are read beside large ones', () => {
  const large = open();
  large.add(9 * MEBIBYTE);
  const small = Array.from({ length: 20 }, () => open());
  for (const body of small) body.add(FREE);
  for (const body of [large, ...small]) body.close();
});

it('many ordinary bodies of one client count together', () => {
  const half = Array.from({ length: 32 }, () => open('one of many bodies'));
  for (const body of half) body.add(2 * FREE);
  const beyond = open('one of many bodies');
  expect(() => beyond.add(2 * FREE)).toThrow(
    expect.objectContaining({ slug: 'too-many-requests' }),
  );
  for (const body of [...half, beyond]) body.close();
});

it('nothing is left of bodies that were closed', () => {
  const [one, other] = [open(), open()];
  one.add(4 * MEBIBYTE + FREE);
  one.close();
  one.close();
  other.add(FREE);
  other.add(4 * MEBIBYTE);
  other.close();
});

it('one whose request was stopped, and which nobody closes, counts no longer than it may take', () => {
  let time = Date.now();
  const openAt = () => holdBody(LIMIT, { client: `${++clients}`, ms: 30_000, now: () => time });
  openAt().add(4 * MEBIBYTE);
  const [early, late] = [openAt(), openAt()];
  expect(() => early.add(3 * MEBIBYTE)).toThrow(overloaded);
  early.close();
  time += 30_001;
  late.add(3 * MEBIBYTE);
  late.close();
});

it('one client has half of it, however many bodies it sends, and others have the rest', () => {
  const [first, second, third, other] = [open('a'), open('a'), open('a'), open('b')];
  first.add(MEBIBYTE + FREE);
  second.add(MEBIBYTE + FREE);
  expect(() => third.add(MEBIBYTE)).toThrow(
    expect.objectContaining({ slug: 'too-many-requests', status: 429 }),
  );
  third.close();
  other.add(2 * MEBIBYTE + FREE);
  for (const body of [first, second, other]) body.close();
});

it('uploads, which may take an hour, leave bodies what is theirs', () => {
  const upload = (client: string) => holdBody(LIMIT, { client, ms: 30_000, kind: 'upload' });
  const [first, second, third, body] = [upload('a'), upload('b'), upload('c'), open('d')];
  first.add(MEBIBYTE + FREE);
  second.add(MEBIBYTE + FREE);
  expect(() => third.add(MEBIBYTE)).toThrow(overloaded);
  body.add(4 * MEBIBYTE);
  for (const held of [first, second, third, body]) held.close();
});
