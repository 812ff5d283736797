import { BlockList, isIP } from 'node:net';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { type Problem, problemOf } from '../../libs/runtime/errors.ts';
import type { RequestHeaders } from './headers.ts';

/** Origin-form (RFC 9112 3.2.1), without anything that ends a request line early. */
const originForm = /^\/[\x21-\x7e\x80-\xff]*$/;
/** What may hide a `.` or `..` segment, plain or percent-encoded; most paths have none. */
const suspicious = /(?:\/|\\|%2f|%5c)(?:\.|%2e)/i;
const dotSegment = /^(?:\.|%2e){1,2}$/i;
/** A name, an IPv4 address, or an IPv6 address in brackets; with a port or without. */
const hostPattern = /^(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

/** Of a request's header section: more is answered 431, by Node or, in HTTP/2, by us. */
export const maxHeaderBytes = 16_384;

/** The rules of the clients' side, compiled. */
export interface ClientRules {
  /** Why a request is not carried to any server; undefined: it may be. */
  readonly refusalOf: (target: string, headers: RequestHeaders, httpVersion: string) => Problem | undefined;
  /** Where a plain request is sent for TLS; undefined: nowhere. */
  readonly redirectOf: (target: string, headers: RequestHeaders, address: string) => string | undefined;
  readonly trusts: (address: string) => boolean;
  readonly forwardedHeader: boolean;
}

/** Who gives certificates looks here, by plain HTTP (RFC 8555 8.3). */
const acmePrefix = '/.well-known/acme-challenge/';

/**
 * An absolute target would make an open proxy of this one; a `..` segment could leave the path prefix by which its
 * pool was chosen; two `Host` could lead two servers to two sites.
 */
export function compileClientRules(settings: FleetConfig['proxy']): ClientRules {
  const { allowedHosts, trustedProxies, forwardedHeader, redirectToHttps, httpsPort } = settings;
  const isAllowed = hostRule(allowedHosts);
  const trusts = trustRule(trustedProxies);
  return {
    forwardedHeader,
    refusalOf(target, { host, ambiguous, lines }, httpVersion) {
      if (lines.length > maxHeaderBytes) {
        return problemOf('NEMURI_HEADERS_TOO_LARGE', `At most ${maxHeaderBytes} bytes.`);
      }
      if (host === undefined && httpVersion !== '1.0') return problemOf('NEMURI_BAD_REQUEST', 'No Host.');
      const detail = malformed(target, host, ambiguous);
      if (detail !== undefined) return problemOf('NEMURI_BAD_REQUEST', detail);
      return isAllowed(host) ? undefined : problemOf('NEMURI_HOST_NOT_ALLOWED', 'Check the Host header.');
    },
    redirectOf(target, { host, forwarded }, address) {
      if (!redirectToHttps || !host || target === '*' || target.startsWith(acmePrefix)) return undefined;
      if (forwarded.proto === 'https' && trusts(address)) return undefined;
      const port = httpsPort === 443 ? '' : `:${httpsPort}`;
      return `https://${host.replace(/:\d+$/, '')}${port}${target}`;
    },
    trusts,
  };
}

/** Whether an address is one of these, or in one of these ranges. */
export function trustRule(trustedProxies: readonly string[]): (address: string) => boolean {
  const trusted = addressesOf(trustedProxies);
  return (address) =>
    trustedProxies.length > 0 && trusted.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
}

function malformed(target: string, host: string | undefined, ambiguous: boolean): string | undefined {
  if (ambiguous) return 'More than one Host.';
  if (host !== undefined && host !== '' && !hostPattern.test(host)) return 'Malformed Host.';
  if (!originForm.test(target)) return target === '*' ? undefined : 'The target must be a path.';
  if (suspicious.test(target) && hasDotSegment(target)) return 'The path must not have "." or ".." segments.';
  return undefined;
}

function hasDotSegment(target: string): boolean {
  const path = target.split('?', 1)[0] ?? '';
  return path.split(/[/\\]|%2f|%5c/i).some((segment) => dotSegment.test(segment));
}

function hostRule(allowedHosts: readonly string[]): (host: string | undefined) => boolean {
  if (allowedHosts.length === 0) return () => true;
  const names = new Set(allowedHosts.map((name) => name.toLowerCase()));
  return (host) => {
    const name = host?.replace(/:\d+$/, '').toLowerCase() ?? '';
    if (names.has(name)) return true;
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      if (names.has(`*${name.slice(dot)}`)) return true;
    }
    return false;
  };
}

function addressesOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', prefix] = range.split('/');
    const version = isIP(address);
    // What is no address is not trusted.
    if (version === 0 || Number(prefix ?? 0) > (version === 6 ? 128 : 32)) continue;
    const family = version === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
}
