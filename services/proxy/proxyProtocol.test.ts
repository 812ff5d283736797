import fc from 'fast-check';
import { parseProxyHeader } from './proxyProtocol.ts';

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

function v2(
  command: number,
  family: number,
  addresses: readonly number[],
  length = addresses.length,
): Buffer {
  const fixed = Buffer.from([0x20 | command, family, length >> 8, length & 0xff]);
  return Buffer.concat([signature, fixed, Buffer.from(addresses)]);
}

const ipv4 = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0, 80];
const ipv6 = [0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), 1, ...new Array(16).fill(2), 0, 1, 0, 2];

const accepted: [string, Buffer, string | undefined][] = [
  ['version 1 over IPv4', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 12345 80\r\n'), '192.0.2.1'],
  ['version 1 over IPv6', Buffer.from('PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n'), '2001:db8::1'],
  ['version 1, unknown', Buffer.from('PROXY UNKNOWN\r\n'), undefined],
  ['version 1, unknown with addresses', Buffer.from('PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n'), undefined],
  ['version 2 over IPv4', v2(1, 0x11, ipv4), '192.0.2.1'],
  ['version 2 over IPv6', v2(1, 0x21, ipv6), '2001:db8::1'],
  ['version 2 with extensions', v2(1, 0x11, [...ipv4, 4, 0, 1, 0, 5, 0, 0]), '192.0.2.1'],
  ['version 2, the proxy’s own', v2(0, 0, []), undefined],
  ['version 2, unspecified', v2(1, 0, []), undefined],
];

test.each(accepted)('%s', (_what, bytes, source) => {
  expect(parseProxyHeader(bytes)).toEqual({ kind: 'header', bytes: bytes.length, source });
  // The bytes behind are the client's.
  expect(parseProxyHeader(Buffer.concat([bytes, Buffer.from('GET /')]))).toEqual({
    kind: 'header',
    bytes: bytes.length,
    source,
  });
  for (let length = 0; length < bytes.length; length += 1) {
    expect(parseProxyHeader(bytes.subarray(0, length))).toEqual({ kind: 'more' });
  }
});

const refusals: [string, Buffer][] = [
  ['a request', Buffer.from('GET / HTTP/1.1\r\n')],
  ['a TLS hello', Buffer.from([0x16, 3, 1])],
  ['lower case', Buffer.from('proxy TCP4')],
  ['an address of the other family', Buffer.from('PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n')],
  ['two spaces', Buffer.from('PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n')],
  ['a name', Buffer.from('PROXY TCP4 a.example 198.51.100.2 1 2\r\n')],
  ['a leading zero', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n')],
  ['a port too high', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n')],
  ['something behind the ports', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n')],
  ['a bare LF', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 1 2\nX: a\r\n')],
  ['a zone', Buffer.from('PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n')],
  ['a line that is too long', Buffer.from(`PROXY UNKNOWN ${'a'.repeat(120)}\r\n`)],
  ['version 3', Buffer.concat([signature, Buffer.from([0x31, 0x11, 0, 12])])],
  ['an unknown command', Buffer.concat([signature, Buffer.from([0x22, 0x11, 0, 12])])],
  ['datagrams', v2(1, 0x12, ipv4)],
  ['an unknown family', v2(1, 0x41, ipv4)],
  ['addresses that are too short', v2(1, 0x11, ipv4.slice(0, 11))],
  ['a header that is too long', v2(1, 0x11, [], 5_000)],
  ['extensions that end early', v2(1, 0x11, [...ipv4, 4, 0, 9, 0])],
];

test.each(refusals)('refuses %s', (_what, bytes) => {
  expect(parseProxyHeader(bytes)).toMatchObject({ kind: 'refused' });
});

test('any bytes: never throws, never claims more than there is, and a longer look never changes a verdict', () => {
  const starts = fc.constantFrom(
    Buffer.alloc(0),
    Buffer.from('PROXY '),
    Buffer.from('PROXY TCP4 '),
    signature,
  );
  const bytes = fc.tuple(starts, fc.uint8Array({ maxLength: 300 })).map((parts) => Buffer.concat(parts));
  fc.assert(
    fc.property(bytes, fc.nat(300), (whole, cut) => {
      const early = parseProxyHeader(whole.subarray(0, cut));
      const late = parseProxyHeader(whole);
      if (late.kind === 'header') expect(late.bytes).toBeLessThanOrEqual(whole.length);
      if (early.kind !== 'more') expect(late).toEqual(early);
    }),
    { numRuns: 2_000 },
  );
});

test('any pair of addresses is read back from both versions', () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.ipV4(), fc.nat(65_535), (source, target, port) => {
      const line = Buffer.from(`PROXY TCP4 ${source} ${target} ${port} 80\r\n`);
      const numbers = [source, target].flatMap((address) => address.split('.').map(Number));
      const binary = v2(1, 0x11, [...numbers, port >> 8, port & 0xff, 0, 80]);
      for (const bytes of [line, binary]) expect(parseProxyHeader(bytes)).toMatchObject({ source });
    }),
  );
});
