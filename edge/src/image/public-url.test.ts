import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { checkImageUrl, isPublicHost } from './public-url.ts';

const check = (url: string) => checkImageUrl(url, { allowPrivate: false });
const refused = expect.objectContaining({ slug: 'image-url-refused' });

describe('an image URL is refused', () => {
  it.each([
    'ftp://example.com/a.png',
    'file:///etc/passwd',
    'data:image/png;base64,AAAA',
    'not a url',
    'http://user:secret@example.com/',
    'http://user@example.com/',
  ])('for its form: %s', (url) => {
    expect(() => check(url)).toThrow(refused);
  });

  it('for its length, with the limit', () => {
    const url = `https://example.com/${'a'.repeat(1_000_000)}`;
    const extras = { field: 'image.url', limit: 8192, actual: url.length };
    expect(() => check(url)).toThrow(
      expect.objectContaining({ slug: 'image-url-refused', extras }),
    );
  });

  it.each([
    'http://user@127.0.0.1/',
    'http://example.com@127.0.0.1/',
    'http://127.0.0.1\\@example.com/',
    'http:\\\\127.0.0.1/',
    'http:127.0.0.1/',
    'http://example.com:80@127.0.0.1/',
    'http://127.0.0.1#@example.com/',
    'http://127.0.0.1?@example.com/',
    'http://\t127.0.0.1/',
    'http://127。0。0。1/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:7f00:1]/',
    'http://[::127.0.0.1]/',
    'http://localhost%2e/',
    'http://ＬＯＣＡＬＨＯＳＴ/',
  ])('for a private host that another parser may not see: %j', (url) => {
    expect(() => check(url)).toThrow(refused);
  });

  it.each([
    'http://localhost/',
    'http://LOCALHOST./',
    'http://a.localhost/',
    'http://printer.local/',
    'http://metadata.google.internal/',
    'http://router/',
    'http://nas.home.arpa/',
  ])('for a name of the local network: %s', (url) => {
    expect(() => check(url)).toThrow(refused);
  });

  it.each([
    'http://0.0.0.0/',
    'http://10.1.2.3/',
    'http://100.64.0.1/',
    'http://127.0.0.1:8788/v1/model',
    'http://169.254.169.254/latest/meta-data/',
    'http://172.16.0.1/',
    'http://172.31.255.255/',
    'http://192.0.2.1/',
    'http://192.88.99.1/',
    'http://192.168.1.1/',
    'http://198.18.0.1/',
    'http://224.0.0.1/',
    'http://240.0.0.1/',
    'http://255.255.255.255/',
  ])('for an IPv4 address that is not public: %s', (url) => {
    expect(() => check(url)).toThrow(refused);
  });

  it.each([
    ['without zeros', 'http://127.1/'],
    ['as one number', 'http://2130706433/'],
    ['as one hexadecimal number', 'http://0x7f000001/'],
    ['in octal', 'http://0177.0.0.01/'],
    ['in hexadecimal', 'http://0x7f.0x0.0x0.0x1/'],
    ['in several bases', 'http://0x7f.0.1/'],
    ['with a dot at its end', 'http://127.0.0.1./'],
    ['in full-width digits', 'http://１２７.０.０.１/'],
    ['percent-encoded', 'http://%31%32%37.0.0.1/'],
  ])('for the loopback address written %s: %s', (_form, url) => {
    expect(() => check(url)).toThrow(refused);
  });

  it.each([
    ['unspecified', 'http://[::]/'],
    ['loopback', 'http://[::1]/'],
    ['IPv4-mapped', 'http://[::ffff:127.0.0.1]/'],
    ['IPv4-mapped, also of a public one', 'http://[::ffff:8.8.8.8]/'],
    ['IPv4-compatible', 'http://[::127.0.0.1]/'],
    ['IPv4-translated', 'http://[::ffff:0:127.0.0.1]/'],
    ['NAT64', 'http://[64:ff9b::7f00:1]/'],
    ['local NAT64', 'http://[64:ff9b:1::7f00:1]/'],
    ['link-local', 'http://[fe80::1]/'],
    ['site-local', 'http://[fec0::1]/'],
    ['unique local', 'http://[fd00::1]/'],
    ['multicast', 'http://[ff02::1]/'],
    ['discard', 'http://[100::1]/'],
    ['documentation', 'http://[2001:db8::1]/'],
    ['documentation', 'http://[3fff::1]/'],
    ['6to4', 'http://[2002:7f00:1::]/'],
    ['Teredo', 'http://[2001::1]/'],
    ['segment routing', 'http://[5f00::1]/'],
  ])('for an IPv6 address that is %s: %s', (_range, url) => {
    expect(() => check(url)).toThrow(refused);
  });
});

describe('an image URL is accepted', () => {
  it.each([
    'https://example.com/a.png',
    'http://images.example.co.uk:8080/a?b#c',
    'http://8.8.8.8/',
    'http://172.32.0.1/',
    'http://100.128.0.1/',
    'http://[2606:4700::1111]/',
    'http://localhost.example.com/',
    'http://127.0.0.1.example.com/',
  ])('%s', (url) => {
    expect(check(url).href).toBe(new URL(url).href);
  });

  it('of this machine, where tests allow it', () => {
    expect(checkImageUrl('http://127.0.0.1/a', { allowPrivate: true }).port).toBe('');
  });
});

describe('any private IPv4 address', () => {
  const byte = fc.nat(255);
  const octets = fc.oneof(
    fc.tuple(fc.constant(10), byte, byte, byte),
    fc.tuple(fc.constant(127), byte, byte, byte),
    fc.tuple(fc.constant(169), fc.constant(254), byte, byte),
    fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), byte, byte),
    fc.tuple(fc.constant(192), fc.constant(168), byte, byte),
  );
  type Octets = [number, number, number, number];
  const base = fc.constantFrom(
    (value: number) => String(value),
    (value: number) => `0${value.toString(8)}`,
    (value: number) => `0x${value.toString(16)}`,
  );

  it('is refused however it is written', () => {
    const parts = fc.integer({ min: 1, max: 4 });
    fc.assert(
      fc.property(octets, parts, fc.tuple(base, base, base, base), (address, count, bases) => {
        // The last part is a number of all octets that are not written alone.
        const last = address.slice(count - 1).reduce((value, octet) => value * 256 + octet, 0);
        const host = [...address.slice(0, count - 1), last]
          .map((part, i) => bases[i]?.(part))
          .join('.');
        expect(() => check(`http://${host}/`)).toThrow(refused);
      }),
    );
  });

  it('is refused in every IPv6 address that embeds it', () => {
    const prefixes = ['::', '::ffff:', '::ffff:0:', '64:ff9b::', '64:ff9b:1::'];
    const hex = ([a, b, c, d]: Octets) =>
      `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
    fc.assert(
      fc.property(octets, (address) => {
        const embedded = prefixes.map((prefix) => `${prefix}${address.join('.')}`);
        for (const host of [...embedded, `2002:${hex(address)}::1`]) {
          expect(() => check(`http://[${host}]/`), host).toThrow(refused);
        }
      }),
    );
  });
});

it('the dots behind a host are read once each, however many they are', () => {
  const replace = vi.spyOn(String.prototype, 'replace');
  const host = `a${'.'.repeat(4000)}`;
  expect(isPublicHost(`${host}x`)).toBe(true);
  expect(isPublicHost(`localhost${'.'.repeat(4000)}`)).toBe(false);
  const expressions = replace.mock.calls.map(([found]) => String(found));
  replace.mockRestore();
  // Not anchored at its beginning, one is tried again from each of them.
  expect(expressions.filter((source) => !source.startsWith('/^'))).toEqual([]);
});
