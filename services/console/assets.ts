import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const brotli = promisify(brotliCompress);
const gzipped = promisify(gzip);

/** One file of the page, ready in each encoding. */
export interface Asset {
  readonly type: string;
  readonly bodies: Readonly<Record<Encoding, Buffer>>;
}

export type Encoding = 'br' | 'gzip' | 'identity';

export interface Assets {
  /** The page itself; it names all other files below `/assets/<version>/`. */
  readonly page: Asset;
  readonly pageTag: string;
  /** A hash of all files: what lies below it never changes. */
  readonly version: string;
  readonly files: ReadonlyMap<string, Asset>;
}

/**
 * Reads the page's files and compresses them once.
 * @param folder of `index.html` and its modules; flat.
 * @param vendor more files by the name they get, with their places.
 */
export async function loadAssets(
  folder: string,
  vendor: Readonly<Record<string, string>> = {},
): Promise<Assets> {
  const names = (await readdir(folder)).filter((name) => types[extname(name)]).sort();
  const places = [...names.map((name) => [name, join(folder, name)] as const), ...Object.entries(vendor)];
  const texts = new Map<string, Buffer>();
  for (const [name, place] of places) texts.set(name, await readFile(place));
  const hash = createHash('sha256');
  for (const [name, text] of texts) hash.update(name).update('\0').update(text);
  const version = hash.digest('hex').slice(0, 16);
  const index = texts.get('index.html')?.toString('utf8') ?? '';
  const files = new Map<string, Asset>();
  await Promise.all(
    [...texts]
      .filter(([name]) => name !== 'index.html')
      .map(async ([name, text]) => files.set(name, await assetOf(name, text))),
  );
  const page = await assetOf('index.html', Buffer.from(index.replaceAll('{assets}', `/assets/${version}`)));
  return { page, pageTag: `"${version}"`, version, files };
}

async function assetOf(name: string, text: Buffer): Promise<Asset> {
  const [br, gz] = await Promise.all([
    brotli(text, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: text.length } }),
    gzipped(text, { level: 9 }),
  ]);
  return {
    type: types[extname(name)] ?? 'application/octet-stream',
    bodies: { br, gzip: gz, identity: text },
  };
}

/** The best encoding that the client takes (RFC 9110, 12.5.3; weights other than 0 are not weighed). */
export function encodingFor(acceptEncoding: string | undefined): Encoding {
  const taken = (acceptEncoding ?? '').toLowerCase().split(',');
  const takes = (name: string) =>
    taken.some((part) => part.trim().split(';')[0] === name && !/;\s*q=0(\.0*)?\s*$/.test(part));
  return takes('br') ? 'br' : takes('gzip') ? 'gzip' : 'identity';
}
