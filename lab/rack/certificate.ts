import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { generate } from 'selfsigned';

export interface RackCertificate {
  readonly certPem: string;
  /** Stays in memory. */
  readonly keyPem: string;
  /** SHA-256, 32 bytes in hex parted by colons. */
  readonly fingerprint256: string;
}

/**
 * One self-signed certificate for every BMC of a rack, valid for localhost, 127.0.0.1 and the given names or
 * addresses. Clients trust it as their CA.
 */
export async function createCertificate(hostNames: readonly string[]): Promise<RackCertificate> {
  const names = [...new Set(['localhost', '127.0.0.1', ...hostNames])];
  const made = await generate([{ name: 'commonName', value: 'Nemuri virtual rack' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', digitalSignature: true, keyCertSign: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: names.map((name) => (isIP(name) ? { type: 7, ip: name } : { type: 2, value: name })),
      },
    ],
  });
  const { fingerprint256 } = new X509Certificate(made.cert);
  return { certPem: made.cert, keyPem: made.private, fingerprint256 };
}
