import { type ClientBounds, createUpstreamClient, type UpstreamClient } from './client.ts';
import { createHttp2Client } from './http2Client.ts';

/** @param url `http:` or `https:`, host and port; what follows them is not used. */
export function openUpstreamClient(
  url: string,
  forwarding: ClientBounds & { readonly protocol: 'http1' | 'http2' },
): UpstreamClient {
  return forwarding.protocol === 'http2'
    ? createHttp2Client(url, forwarding)
    : createUpstreamClient(url, forwarding);
}
