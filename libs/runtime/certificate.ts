import { connect } from 'node:tls';

/** What a TLS server shows before anything is sent to it. */
export interface SeenCertificate {
  /** SHA-256, 32 bytes in hex parted by colons. */
  readonly fingerprint256: string;
  readonly subject: string;
  /** Epoch ms. */
  readonly endsAtMs: number;
  /** By the CAs of this system, for the host of the URL. */
  readonly trusted: boolean;
}

/**
 * Looks at the certificate of an https URL; no request is sent, and nothing is believed.
 * @throws Error in words when nobody answers with TLS within `timeoutMs`.
 */
export function readCertificate(url: string, timeoutMs: number): Promise<SeenCertificate> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  // An address is no server name (RFC 6066, 3).
  const servername = /^[\d.]+$|:/.test(host) ? '' : host;
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port || 443), servername, rejectUnauthorized: false });
    const fail = (problem: string) => {
      clearTimeout(timer);
      socket.destroy();
      reject(new Error(`${url}: ${problem}`));
    };
    const timer = setTimeout(() => fail(`no TLS within ${timeoutMs} ms`), timeoutMs);
    socket.once('error', (error) => fail(error.message));
    socket.once('secureConnect', () => {
      const { fingerprint256, valid_to: endsAt, subject } = socket.getPeerCertificate();
      clearTimeout(timer);
      socket.destroy();
      const name = String(subject?.CN ?? '');
      resolve({ fingerprint256, subject: name, endsAtMs: Date.parse(endsAt), trusted: socket.authorized });
    });
  });
}
