import type { PoolConfig } from '../../libs/events/mod.ts';

type Sticky = PoolConfig['balancing']['sticky'];

/** The server that a client's cookie names, by the hash of its name; undefined: none, or nothing we wrote. */
export function stickyHash(cookies: string | undefined, { cookie }: Sticky): number | undefined {
  const value = cookieOf(cookies, cookie);
  return value !== undefined && /^[0-9a-f]{1,8}$/.test(value) ? Number.parseInt(value, 16) : undefined;
}

/** `Set-Cookie` that keeps a client on a server. The name of the server does not show. */
export function stickyCookie(
  nameHash: number,
  encrypted: boolean,
  { cookie, maxAgeSeconds }: Sticky,
): string {
  const age = maxAgeSeconds > 0 ? `; Max-Age=${maxAgeSeconds}` : '';
  return `${cookie}=${nameHash.toString(16)}; Path=/; HttpOnly; SameSite=Lax${encrypted ? '; Secure' : ''}${age}`;
}

/** The value of the first cookie of this name. */
export function cookieOf(cookies: string | undefined, name: string): string | undefined {
  for (const pair of cookies?.split(';') ?? []) {
    const equals = pair.indexOf('=');
    if (equals > 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
  }
  return undefined;
}
