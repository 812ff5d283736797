import { createHash } from 'node:crypto';

/** One request that is to be signed, and how often its nonce was used before. */
export interface DigestRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly username: string;
  readonly password: string;
  /** Of the client, hex. */
  readonly cnonce: string;
}

const hashes: Readonly<Record<string, string>> = { 'sha-256': 'sha256', md5: 'md5' };

/** The parameters of a Digest challenge; undefined when the header has none. */
function challengeOf(header: string): ReadonlyMap<string, string> | undefined {
  const digest = /(?:^|,\s*)Digest\s+(.*)$/is.exec(header.slice(0, 4_096))?.[1];
  if (digest === undefined) return undefined;
  const pairs = digest.matchAll(/([a-z-]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))/gi);
  return new Map([...pairs].map(([, name = '', quoted, bare]) => [name.toLowerCase(), quoted ?? bare ?? '']));
}

/**
 * The `Authorization` for a `WWW-Authenticate: Digest` challenge (RFC 7616, 3.4), with SHA-256 (Shelly) or MD5 and
 * qop `auth` or none; undefined for a challenge that asks for something else.
 */
export function digestAuthorization(header: string | null, request: DigestRequest): string | undefined {
  const challenge = challengeOf(header ?? '');
  const nonce = challenge?.get('nonce');
  const algorithm = challenge?.get('algorithm') ?? 'MD5';
  const hash = hashes[algorithm.toLowerCase()];
  if (!challenge || nonce === undefined || hash === undefined) return undefined;
  const realm = challenge.get('realm') ?? '';
  const offered = challenge.get('qop');
  const qop = offered?.split(',').some((name) => name.trim() === 'auth') ? 'auth' : undefined;
  if (offered !== undefined && qop === undefined) return undefined;
  const { method, path, username, password, cnonce } = request;
  const digest = (text: string) => createHash(hash).update(text).digest('hex');
  const secret = digest(`${username}:${realm}:${password}`);
  const target = digest(`${method}:${path}`);
  const count = '00000001';
  const middle = qop ? `${nonce}:${count}:${cnonce}:${qop}` : nonce;
  const opaque = challenge.get('opaque');
  return [
    `Digest username="${username}"`,
    `realm="${realm}"`,
    `nonce="${nonce}"`,
    `uri="${path}"`,
    `algorithm=${algorithm}`,
    `response="${digest(`${secret}:${middle}:${target}`)}"`,
    ...(qop ? [`qop=${qop}`, `nc=${count}`, `cnonce="${cnonce}"`] : []),
    ...(opaque === undefined ? [] : [`opaque="${opaque}"`]),
  ].join(', ');
}
