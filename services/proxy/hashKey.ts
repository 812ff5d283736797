import type { IncomingMessage } from 'node:http';
import { hashOf } from '../../libs/domain/mod.ts';
import { cookieOf } from './sticky.ts';

/** The hash of what chooses a request's server; undefined: the request has no such header or cookie. */
export function hashOfRequest(
  request: IncomingMessage,
  by: 'path' | 'header' | 'cookie',
  name: string,
): number | undefined {
  if (by === 'path') return hashOf(request.url?.split('?', 1)[0] ?? '/');
  const value =
    by === 'header' ? request.headers[name.toLowerCase()] : cookieOf(request.headers.cookie, name);
  return value === undefined ? undefined : hashOf(String(value));
}
