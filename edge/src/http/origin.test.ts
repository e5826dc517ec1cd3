import { expect, it } from 'vitest';
import { originOf } from './origin.ts';

it.each([
  ['https://blip2.example.com/v1/models?a=b', 'https://blip2.example.com'],
  ['http://[::1]:8787/', 'http://[::1]:8787'],
  [`http://${'a'.repeat(248)}/`, `http://${'a'.repeat(248)}`],
  [`http://${'a'.repeat(249)}/`, 'https://blip2.example'],
])('the address of %s is %s', (url, origin) => {
  expect(originOf(url)).toBe(origin);
});
