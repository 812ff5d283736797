import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';

export interface CertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** Certificates in files, as an operator would have them. */
export interface Certificates {
  /** A certificate for this name, made anew each time. */
  make(name: string): Promise<CertificateFiles>;
  remove(): Promise<void>;
}

export function createCertificates(): Certificates {
  let folder: string | undefined;
  return {
    async make(name) {
      folder ??= await mkdtemp(join(tmpdir(), 'nemuri-tls-'));
      const files = { certificateFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
      const extensions = [{ name: 'subjectAltName', altNames: [{ type: 2, value: name }] }] as never;
      const made = await generate([{ name: 'commonName', value: name }], { extensions } as never);
      writeFileSync(files.keyFile, made.private);
      writeFileSync(files.certificateFile, made.cert);
      return files;
    },
    async remove() {
      if (folder) await rm(folder, { recursive: true });
      folder = undefined;
    },
  };
}
