import { expect, it } from 'vitest';
import { clientOf } from './client-address.ts';

type Sent = [name: string, value: string][];
const client = (sent: Sent, clientAddressHeader: string | null, clientAddressHops = 1) => {
  const headers = new Headers();
  for (const [name, value] of sent) headers.append(name, value);
  return clientOf(headers, { clientAddressHeader, clientAddressHops });
};

const FORWARDED = 'x-forwarded-for';

it.each<[string, Sent, string | null, number, string]>([
  ['nothing is believed', [['cf-connecting-ip', '9.9.9.9']], null, 1, 'unnamed'],
  ['another header than the configured', [[FORWARDED, '9.9.9.9']], 'x-real-ip', 1, 'unnamed'],
  ['no header', [], FORWARDED, 1, 'unnamed'],
  ['one address', [[FORWARDED, '203.0.113.9']], FORWARDED, 1, '203.0.113.9'],
  [
    'what the client wrote before',
    [[FORWARDED, '1.1.1.1, 203.0.113.9']],
    FORWARDED,
    1,
    '203.0.113.9',
  ],
  [
    'a header of its own',
    [
      [FORWARDED, '1.1.1.1'],
      [FORWARDED, '203.0.113.9'],
    ],
    FORWARDED,
    1,
    '203.0.113.9',
  ],
  ['two proxies', [[FORWARDED, '1.1.1.1, 203.0.113.9,10.0.0.1']], FORWARDED, 2, '203.0.113.9'],
  ['fewer entries than proxies', [[FORWARDED, '203.0.113.9']], FORWARDED, 2, 'unnamed'],
  ['an entry that is empty', [[FORWARDED, ',10.0.0.1']], FORWARDED, 2, 'unnamed'],
  ['a comma alone', [[FORWARDED, ',']], FORWARDED, 3, 'unnamed'],
  [
    'very many entries',
    [[FORWARDED, `${'1.1.1.1,'.repeat(9000)}203.0.113.9,10.0.0.1`]],
    FORWARDED,
    2,
    '203.0.113.9',
  ],
  ['no address', [[FORWARDED, '203.0.113.9, unknown']], FORWARDED, 1, 'unnamed'],
  ['nothing after a comma', [[FORWARDED, '203.0.113.9, ']], FORWARDED, 1, 'unnamed'],
  ['a short form', [[FORWARDED, '127.1']], FORWARDED, 1, 'unnamed'],
  ['a number', [[FORWARDED, '3405803785']], FORWARDED, 1, 'unnamed'],
  ['a port', [[FORWARDED, '203.0.113.9:4711']], FORWARDED, 1, '203.0.113.9'],
  [
    'IPv6',
    [['cf-connecting-ip', '2001:db8:1:2:3:4:5:6']],
    'cf-connecting-ip',
    1,
    '2001:db8:1:2::/64',
  ],
  [
    'IPv6 of the same network',
    [['cf-connecting-ip', '2001:DB8:1:2::ffff']],
    'cf-connecting-ip',
    1,
    '2001:db8:1:2::/64',
  ],
  ['IPv6 with a port', [[FORWARDED, '[2001:db8::1]:443']], FORWARDED, 1, '2001:db8::/64'],
  ['IPv4 in IPv6', [[FORWARDED, '::ffff:203.0.113.9']], FORWARDED, 1, '203.0.113.9'],
  ['megabytes', [[FORWARDED, '9'.repeat(60_000)]], FORWARDED, 1, 'unnamed'],
])('%s', (_what, sent, header, hops, expected) => {
  expect(client(sent, header, hops)).toBe(expected);
});
