import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RedfishMethod } from '../../../libs/events/mod.ts';
import { createBench, failureOf, kindOf, never } from './testing/bench.ts';
import { createCertificate } from './testing/fakeBmc.ts';

const bench = createBench();
let folder = '';
beforeAll(async () => {
  await bench.open();
  folder = await mkdtemp(join(tmpdir(), 'nemuri-tls-'));
});
afterEach(bench.clear);
afterAll(() => rm(folder, { recursive: true }));

async function start(tls: RedfishMethod['tls']) {
  const bmc = await bench.createBmc();
  return { bmc, driver: bench.createDriver(bmc, { tls }) };
}

test('a certificate of no known CA is unauthorized, whatever the environment says', async () => {
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  try {
    for (const tls of [undefined, {}, { insecure: false }]) {
      const { bmc, driver } = await start(tls);
      expect(await kindOf(driver.readPower(never))).toBe('unauthorized');
      expect(bmc.requests).toEqual([]);
    }
  } finally {
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  }
});

test('insecure accepts it, when written out', async () => {
  const { driver } = await start({ insecure: true });
  expect(await driver.readPower(never)).toBe('off');
});

test('caFile: its certificate is accepted, another one is not', async () => {
  const caFile = join(folder, 'right.pem');
  await writeFile(caFile, bench.certificate().cert);
  expect(await (await start({ caFile })).driver.readPower(never)).toBe('off');
  const otherFile = join(folder, 'other.pem');
  await writeFile(otherFile, (await createCertificate()).cert);
  expect(await kindOf((await start({ caFile: otherFile })).driver.readPower(never))).toBe('unauthorized');
});

test('a caFile that is not there is told, and read when it is', async () => {
  const caFile = join(folder, 'later.pem');
  const { driver } = await start({ caFile });
  const failure = await failureOf(driver.readPower(never));
  expect([failure.kind, failure.message]).toEqual([
    'unauthorized',
    expect.stringContaining(`${caFile} can't be read: ENOENT`),
  ]);
  await writeFile(caFile, bench.certificate().cert);
  expect(await driver.readPower(never)).toBe('off');
});

test('a certificate for another host is unauthorized', async () => {
  const caFile = join(folder, 'host.pem');
  await writeFile(caFile, bench.certificate().cert);
  const bmc = await bench.createBmc();
  const url = bmc.url.replace('127.0.0.1', 'localhost');
  expect(await kindOf(bench.createDriver({ url }, { tls: { caFile } }).readPower(never))).toBe(
    'unauthorized',
  );
});

test('fingerprint256: the right one is accepted in either case, on each connection', async () => {
  const fingerprint256 = bench.certificate().fingerprint256.toLowerCase();
  const { driver } = await start({ fingerprint256 });
  await Promise.all(Array.from({ length: 8 }, () => driver.readPower(never)));
});

test.each([[{}], [{ insecure: true }]])('a wrong fingerprint256 with %j: nothing is sent', async (more) => {
  const fingerprint256 = (await createCertificate()).fingerprint256;
  const { bmc, driver } = await start({ fingerprint256, ...more });
  expect(await kindOf(driver.readPower(never))).toBe('unauthorized');
  expect(bmc.requests).toEqual([]);
});

test('http is plain, when the url says so', async () => {
  const server = createServer((_, response) =>
    response.end('{"PowerState":"On","Members":[{"@odata.id":"/x/1"}]}'),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  const driver = bench.createDriver({ url }, { tls: undefined });
  // It gives no token.
  expect((await failureOf(driver.readPower(never))).message).toContain('X-Auth-Token');
  await driver.close();
  await new Promise((resolve) => server.close(resolve));
});

test('importing redfish-client changes no setting of the process and writes nothing', async () => {
  // It does add one 'exit' listener, with which its own logger, never written to here, would flush.
  const script = `
    const look = () => JSON.stringify([
      process.env, Object.getOwnPropertyNames(globalThis).sort(), require('node:https').globalAgent.options,
      require('node:tls').rootCertificates.length, require('node:tls').DEFAULT_MIN_VERSION,
      String(globalThis.fetch), ['uncaughtException', 'unhandledRejection', 'SIGTERM', 'SIGINT', 'beforeExit', 'warning']
        .map((name) => process.listenerCount(name)),
    ]);
    const before = look();
    import('redfish-client').then(() => process.exit(look() === before ? 0 : 7));`;
  const ended = await promisify(execFile)(process.execPath, ['-e', script]);
  expect(ended).toEqual({ stdout: '', stderr: '' });
});
