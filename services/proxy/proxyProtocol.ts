import { isIPv4, isIPv6 } from 'node:net';

/** What stands before the bytes of a connection that another proxy passes on. */
export type ProxyHeader =
  /** It has not come whole. */
  | { readonly kind: 'more' }
  | { readonly kind: 'refused'; readonly why: string }
  /** `source` undefined: the connection is the proxy's own (LOCAL), or it does not know (UNKNOWN). */
  | { readonly kind: 'header'; readonly bytes: number; readonly source: string | undefined };

const v1Start = Buffer.from('PROXY ', 'latin1');
const v2Start = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
/** By the specification: the longest line of version 1, CRLF included. */
const maxV1Bytes = 107;
/** Of addresses and extensions in version 2; the field could say 65,535. */
const maxV2Bytes = 4_096;
const v2FixedBytes = 16;
const portPattern = /^(?:0|[1-9]\d{0,4})$/;

const more: ProxyHeader = { kind: 'more' };
const refused = (why: string): ProxyHeader => ({ kind: 'refused', why });

/**
 * Reads the PROXY protocol header, version 1 or 2, from the first bytes of a connection (HAProxy's
 * proxy-protocol.txt). Strict: whatever is not exactly as written there is refused, as early as it can be told.
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (begins(bytes, v1Start)) return bytes.length < v1Start.length ? more : parseV1(bytes);
  if (begins(bytes, v2Start)) return bytes.length < v2FixedBytes ? more : parseV2(bytes);
  return refused('no PROXY header');
}

/** Whether as many bytes as there are agree with this start. */
function begins(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function parseV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, maxV1Bytes).indexOf('\r\n');
  if (end < 0) return bytes.length < maxV1Bytes ? more : refused('a line that is too long');
  const header = (source: string | undefined): ProxyHeader => ({ kind: 'header', bytes: end + 2, source });
  const line = bytes.toString('latin1', 0, end);
  // What follows UNKNOWN is to be ignored.
  if (line === 'PROXY UNKNOWN' || line.startsWith('PROXY UNKNOWN ')) return header(undefined);
  const [, family, source = '', target = '', sourcePort = '', targetPort = '', ...rest] = line.split(' ');
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isPlainIPv6 : undefined;
  if (!isAddress) return refused('an unknown family');
  if (rest.length > 0 || !isAddress(source) || !isAddress(target)) return refused('malformed addresses');
  if (!isPort(sourcePort) || !isPort(targetPort)) return refused('malformed ports');
  return header(source);
}

function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%');
}

function isPort(text: string): boolean {
  return portPattern.test(text) && Number(text) <= 65_535;
}

/** Bytes of the two addresses and ports, by the family nibble. */
const addressBytes: Readonly<Record<number, number>> = { 0: 0, 1: 12, 2: 36, 3: 216 };

function parseV2(bytes: Buffer): ProxyHeader {
  const version = bytes.readUInt8(12) >> 4;
  const command = bytes.readUInt8(12) & 0x0f;
  const family = bytes.readUInt8(13) >> 4;
  const transport = bytes.readUInt8(13) & 0x0f;
  const length = bytes.readUInt16BE(14);
  if (version !== 2 || command > 1) return refused('an unknown version or command');
  if (length > maxV2Bytes) return refused('a header that is too long');
  const whole = v2FixedBytes + length;
  const header = (source: string | undefined): ProxyHeader => ({ kind: 'header', bytes: whole, source });
  const isLocal = command === 0;
  const needed = addressBytes[family];
  // Of a LOCAL connection everything behind the length is to be ignored.
  if (!isLocal) {
    if (needed === undefined || transport > 2) return refused('an unknown family');
    if (transport === 2 || (family === 0) !== (transport === 0)) return refused('no stream of bytes');
    if (length < needed) return refused('addresses that are too short');
  }
  if (bytes.length < whole) return more;
  if (isLocal || needed === undefined) return header(undefined);
  if (!isWholeExtensions(bytes.subarray(v2FixedBytes + needed, whole)))
    return refused('malformed extensions');
  const at = bytes.subarray(v2FixedBytes, whole);
  if (family === 1) return header(at.subarray(0, 4).join('.'));
  return header(family === 2 ? ipv6Of(at.subarray(0, 16)) : undefined);
}

/** Type, length in two bytes, value; again and again, to the last byte. */
function isWholeExtensions(bytes: Buffer): boolean {
  let at = 0;
  while (at + 3 <= bytes.length) at += 3 + bytes.readUInt16BE(at + 1);
  return at === bytes.length;
}

/** As RFC 5952 writes it. */
function ipv6Of(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  const { hostname } = new URL(`http://[${groups.join(':')}]`);
  return hostname.slice(1, -1);
}
