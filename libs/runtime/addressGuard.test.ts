import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { createConnection } from '../../services/power/drivers/httpConnection.ts';
import { AddressRefusedError, createAddressGuard } from './addressGuard.ts';
import { createProbe } from './probe.ts';

describe('which addresses are refused', () => {
  const guard = createAddressGuard();

  test.each([
    '169.254.169.254',
    '169.254.0.1',
    '0.0.0.0',
    '100.100.100.200',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    'fe80::1',
    '[fe80::1]',
    'fd00:ec2::254',
    'ff02::1',
  ])('%s is', (address) => expect(guard.refusalOf(address)).toBeInstanceOf(AddressRefusedError));

  test.each([
    '127.0.0.1',
    '::1',
    '10.0.0.1',
    '192.168.1.1',
    'fd00::1',
    '8.8.8.8',
    '169.253.255.255',
    'bmc-1',
  ])('%s is not', (address) => expect(guard.refusalOf(address)).toBeUndefined());

  test.each(['http://2852039166/', 'http://0xa9fea9fe/', 'http://0251.0376.0251.0376/'])(
    'another writing is the same address: %s',
    (url) => expect(guard.refusalOf(new URL(url).hostname)).toBeInstanceOf(AddressRefusedError),
  );

  test('what the environment excepts is not', () => {
    const { refusalOf } = createAddressGuard('169.254.1.1, fe80::/64');
    const refused = (address: string) => refusalOf(address) !== undefined;
    const all = ['169.254.1.1', 'fe80::7', '169.254.169.254', 'fe80:0:0:1::7'];
    expect(all.map(refused)).toEqual([false, false, true, true]);
  });

  test.each(['here', '10.0.0.0/33', '10.0.0.1/x'])('an exception that is none: %s', (entry) =>
    expect(() => createAddressGuard(entry)).toThrow(`NEMURI_ALLOW_ADDRESSES must be`),
  );
});

describe('connections', () => {
  async function errorOf(host: string, guard = createAddressGuard()): Promise<Error> {
    const socket = connect({ host, port: 1, ...guard.target(host) });
    const [error] = await once(socket, 'error');
    return error;
  }

  test('fail as a connection does, before a packet is sent', async () => {
    expect(await errorOf('169.254.169.254')).toBeInstanceOf(AddressRefusedError);
    expect(await errorOf('[fe80::1]')).toBeInstanceOf(AddressRefusedError);
  });

  test('a name is judged by what it stands for, each time', async () => {
    // 0.0.0.0 by a name that the system itself resolves.
    const error = await errorOf('0');
    expect(error).toBeInstanceOf(AddressRefusedError);
    expect(error.message).toBe(
      '0.0.0.0 of 0 is no address that may be asked; NEMURI_ALLOW_ADDRESSES excepts it',
    );
    expect(((await errorOf('localhost')) as NodeJS.ErrnoException).code).not.toBe('NEMURI_ADDRESS_REFUSED');
  });
});

const metadata = 'http://169.254.169.254';
const signal = () => AbortSignal.timeout(5_000);

test.each([
  { kind: 'tcp' },
  { kind: 'grpc', service: '' },
  {
    kind: 'http',
    method: 'GET',
    path: '/latest/meta-data/',
    headers: {},
    expectStatusMin: 200,
    expectStatusMax: 399,
  },
] as const)('a probe asks no metadata: $kind', async (probe) => {
  const result = await createProbe(metadata, probe as never)(2_000);
  expect(result).toMatchObject({ ok: false, detail: expect.stringContaining('NEMURI_ALLOW_ADDRESSES') });
});

describe('the http and Redfish drivers', () => {
  const connectionTo = (origin: string) =>
    createConnection({
      serverName: 's1',
      protocol: 'http',
      origin,
      tls: undefined,
      requestTimeoutMs: 2_000,
      maxBodyBytes: 1_000,
      maxConnections: 1,
    });
  const get = { method: 'GET', path: '/', headers: {} } as const;

  test.each([metadata, 'https://[fe80::1]'])('do not ask %s', async (origin) => {
    const connection = connectionTo(origin);
    await expect(connection.send(get, signal())).rejects.toThrow(/NEMURI_ADDRESS_REFUSED/);
    await connection.close();
  });

  test('follow no redirect there', async () => {
    const server = createServer((_request, response) =>
      response.writeHead(302, { location: `${metadata}/latest/meta-data/` }).end(),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const connection = connectionTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect((await connection.send(get, signal())).status).toBe(302);
    await connection.close();
    server.close();
  });
});
