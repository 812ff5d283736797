import { readFileSync } from 'node:fs';
import type { PoolConfig } from '../../../libs/events/mod.ts';
import { createUpstreamClient, type UpstreamClient } from './client.ts';
import type { TlsOptions } from './connection.ts';
import { createHttp2Client } from './http2Client.ts';

/** @param url `http:` or `https:`, host and port; what follows them is not used. */
export function openUpstreamClient(url: string, forwarding: PoolConfig['forwarding']): UpstreamClient {
  const tls = url.startsWith('https:') ? tlsOptions(forwarding) : {};
  return forwarding.protocol === 'http2'
    ? createHttp2Client(url, forwarding, tls)
    : createUpstreamClient(url, forwarding, tls);
}

function tlsOptions({ tlsServerName, caFile }: PoolConfig['forwarding']): TlsOptions {
  return {
    ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
    ...(caFile === undefined ? {} : { ca: readCa(caFile) }),
  };
}

/** A file that can't be read trusts nobody: no connection comes about until it can, and the configuration is applied again. */
function readCa(file: string): string[] {
  try {
    return [readFileSync(file, 'utf8')];
  } catch {
    return [];
  }
}
