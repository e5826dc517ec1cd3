import { describe, expect, it } from 'vitest';
import { checkImageUrl } from './public-url.ts';

describe('refused are', () => {
  it.each([
    'ftp://example.com/a.png',
    'file:///etc/passwd',
    'data:image/png;base64,AAAA',
    'not a url',
    'http://user:secret@example.com/',
    'http://user@example.com/',
    'http://localhost/',
    'http://LOCALHOST./',
    'http://a.localhost/',
    'http://printer.local/',
    'http://metadata.google.internal/',
    'http://router/',
    'http://nas.home.arpa/',
    'http://0.0.0.0/',
    'http://10.1.2.3/',
    'http://100.64.0.1/',
    'http://127.0.0.1:8788/v1/model',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f000001/',
    'http://0177.0.0.1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://172.16.0.1/',
    'http://172.31.255.255/',
    'http://192.168.1.1/',
    'http://198.18.0.1/',
    'http://224.0.0.1/',
    'http://255.255.255.255/',
    'http://[::]/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:8.8.8.8]/',
    'http://[64:ff9b::7f00:1]/',
    'http://[fe80::1]/',
    'http://[fd00::1]/',
    'http://[ff02::1]/',
    'http://[2001:db8::1]/',
    'http://[2002:7f00:1::]/',
    'http://[2001::1]/',
  ])('%s', (url) => {
    expect(() => checkImageUrl(url, { allowPrivate: false })).toThrow(
      expect.objectContaining({ slug: 'image-url-refused' }),
    );
  });
});

describe('allowed are', () => {
  it.each([
    'https://example.com/a.png',
    'http://images.example.co.uk:8080/a?b#c',
    'http://8.8.8.8/',
    'http://172.32.0.1/',
    'http://100.128.0.1/',
    'http://[2606:4700::1111]/',
    'http://localhost.example.com/',
  ])('%s', (url) => {
    expect(checkImageUrl(url, { allowPrivate: false }).href).toBe(new URL(url).href);
  });

  it('this machine, where tests say so', () => {
    expect(checkImageUrl('http://127.0.0.1/a', { allowPrivate: true }).port).toBe('');
  });
});
