import { describe, expect, it } from 'vitest';
import {
  IMAGE_HEADER,
  REQUEST_SIGNATURE_HEADER,
  SignatureCheck,
  type SignedRequest,
  signRequest,
} from './request-signature.ts';

const NOW = 1_800_000_000_000;
const SECRET = 'a secret that nobody can guess, of 40 letters';
const OTHER = 'another secret that nobody can guess either..';

async function signed(secret = SECRET, at = NOW): Promise<SignedRequest> {
  const headers = new Headers({ 'x-request-id': 'r1', [IMAGE_HEADER]: 'ab'.repeat(32) });
  const request = { method: 'POST', path: '/v1/run', headers, length: 12 };
  headers.set(REQUEST_SIGNATURE_HEADER, await signRequest(secret, request, at));
  return request;
}
const check = (secrets = [SECRET], now = () => NOW) => new SignatureCheck(secrets, now);

describe('a request that is signed', () => {
  it('is accepted once', async () => {
    const worker = check();
    const request = await signed();
    expect(await worker.rejection(request)).toBeNull();
    expect(await worker.rejection(request)).toBe('repeated');
    expect(await worker.rejection(await signed())).toBeNull();
  });

  it('is accepted by either of two secrets', async () => {
    const worker = check([OTHER, SECRET]);
    expect(await worker.rejection(await signed(SECRET))).toBeNull();
    expect(await worker.rejection(await signed(OTHER))).toBeNull();
  });

  it('is rejected by another secret', async () => {
    expect(await check([OTHER]).rejection(await signed())).toBe('wrong');
  });

  it('is accepted half a minute before and after, and not beyond', async () => {
    for (const [skew, outcome] of [
      [30_000, null],
      [-30_000, null],
      [30_001, 'outside-time'],
      [-30_001, 'outside-time'],
    ] as const) {
      expect(await check().rejection(await signed(SECRET, NOW + skew))).toBe(outcome);
    }
  });

  it('is repeated as long as its time is accepted', async () => {
    let now = NOW;
    const worker = check([SECRET], () => now);
    const ahead = await signed(SECRET, NOW + 30_000);
    expect(await worker.rejection(ahead)).toBeNull();
    now = NOW + 60_000;
    await worker.rejection(await signed(SECRET, now));
    expect(await worker.rejection(ahead)).toBe('repeated');
  });

  it.each([
    ['method', (request: SignedRequest) => ({ ...request, method: 'DELETE' })],
    ['path', (request: SignedRequest) => ({ ...request, path: '/v1/model' })],
    ['length of its body', (request: SignedRequest) => ({ ...request, length: 13 })],
  ])('is rejected with another %s', async (_, change) => {
    expect(await check().rejection(change(await signed()))).toBe('wrong');
  });

  it.each(['x-request-id', IMAGE_HEADER])('is rejected with another %s', async (name) => {
    const request = await signed();
    request.headers.set(name, 'other');
    expect(await check().rejection(request)).toBe('wrong');
  });
});

it.each([
  ['no signature', null],
  ['a signature of another form', 'v1=00'],
])('a request with %s is unsigned', async (_, header) => {
  const request = await signed();
  request.headers.delete(REQUEST_SIGNATURE_HEADER);
  if (header !== null) request.headers.set(REQUEST_SIGNATURE_HEADER, header);
  expect(await check().rejection(request)).toBe('unsigned');
});
