import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { until } from '../../../libs/bus/testing/until.ts';
import { failureOf, kindOf, never } from './testing/bench.ts';
import { deps, methodOf } from './testing/peers.ts';
import { createWolDriver, magicPacket, secureOnBytes } from './wol.ts';

let sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets) socket.close();
  sockets = [];
});

/** Listens as a network card would; a broadcast on loopback reaches every socket of 0.0.0.0. */
async function listen(onPacket: (packet: Buffer) => void): Promise<number> {
  const socket = createSocket('udp4');
  sockets.push(socket);
  socket.on('message', onPacket);
  socket.bind(0, '0.0.0.0');
  await once(socket, 'listening');
  return socket.address().port;
}

const macs = ['52:54:00:12:34:56', '52-54-00-AB-CD-EF'];
const driverOf = (method: object, resolveSecret = deps.resolveSecret) =>
  createWolDriver('web-1', methodOf('wol', { macs, broadcasts: ['127.255.255.255'], ...method }), {
    ...deps,
    resolveSecret,
  });

test('a magic packet is six ff and sixteen times the MAC, then the password', () => {
  const packet = magicPacket('52:54:00:12:34:56', Buffer.from('0a0b0c0d0e0f', 'hex'));
  expect(packet.toString('hex')).toBe(`ffffffffffff${'525400123456'.repeat(16)}0a0b0c0d0e0f`);
  expect(magicPacket('52-54-00-AB-CD-EF')).toHaveLength(102);
});

test.each<[string, string | undefined]>([
  ['0a:0b:0c:0d:0e:0f', '0a0b0c0d0e0f'],
  ['0A-0B-0C-0D-0E-0F', '0a0b0c0d0e0f'],
  ['192.168.0.1', 'c0a80001'],
  ['192.168.0.256', undefined],
  ['hunter2', undefined],
])('SecureOn %s', (text, hex) => expect(secureOnBytes(text)?.toString('hex')).toBe(hex));

test('each card gets its packet, by broadcast, to each port, several times', async () => {
  const received: [number, string][] = [];
  const one = await listen((packet) => received.push([one, packet.toString('hex')]));
  const two = await listen((packet) => received.push([two, packet.toString('hex')]));
  const secureOn = '0a:0b:0c:0d:0e:0f';
  const method = { ports: [one, two], packets: 2, packetIntervalMs: 1, secureOn: 'env:SECURE_ON' };
  await driverOf(method, () => secureOn).wake(never);
  await until(() => received.length >= 8);
  const expected = [one, two].flatMap((port) =>
    macs.map((mac) => [port, magicPacket(mac, secureOnBytes(secureOn)).toString('hex')]),
  );
  expect(received).toHaveLength(8);
  expect(new Set(received.map(String))).toEqual(new Set(expected.map(String)));
});

test('with three of ten packets lost, three tries of three packets always wake', async () => {
  // A linear congruential generator (Numerical Recipes): the same losses in every run.
  let seed = 1;
  const random = () => {
    seed = (seed * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return seed / 2 ** 32;
  };
  let sent = 0;
  let lost = 0;
  let isAwake = false;
  const port = await listen(() => {
    sent += 1;
    if (random() < 0.3) lost += 1;
    else isAwake = true;
  });
  const driver = driverOf({ macs: macs.slice(0, 1), ports: [port], packetIntervalMs: 1 });
  const tries: number[] = [];
  for (let wake = 0; wake < 60; wake += 1) {
    isAwake = false;
    let tried = 0;
    for (; tried < 3 && !isAwake; tried += 1) {
      const before = sent;
      await driver.wake(never);
      await until(() => sent === before + 3);
    }
    expect(isAwake).toBe(true);
    tries.push(tried);
  }
  expect(lost / sent).toBeGreaterThan(0.2);
  expect(tries.filter((tried) => tried === 1).length).toBeGreaterThan(50);
});

test('it leaves from the address that is told', async () => {
  const socket = createSocket('udp4');
  sockets.push(socket);
  const senders: string[] = [];
  socket.on('message', (_packet, { address }) => senders.push(address));
  socket.bind(0, '0.0.0.0');
  await once(socket, 'listening');
  await driverOf({ ports: [socket.address().port], packets: 1, sourceAddress: '127.0.0.7' }).wake(never);
  await until(() => senders.length > 0);
  expect(new Set(senders)).toEqual(new Set(['127.0.0.7']));
});

test('it only wakes, and says so', async () => {
  const driver = driverOf({});
  expect([...driver.capabilities]).toEqual(['wake']);
  const kinds = [driver.readPower(never), driver.sleep('graceful', never), driver.meter(never)].map(kindOf);
  expect(await Promise.all(kinds)).toEqual(['unsupported', 'unsupported', 'unsupported']);
});

test('a source address that is not ours is a failure with its code', async () => {
  const failure = await failureOf(driverOf({ sourceAddress: '203.0.113.7' }).wake(never));
  expect([failure.kind, failure.message]).toEqual([
    'unreachable',
    'web-1: no magic packet could be sent (EADDRNOTAVAIL)',
  ]);
});

test('a password that is none is not shown', async () => {
  const failure = await failureOf(driverOf({ secureOn: 'file:/etc/nemuri/wol' }).wake(never));
  expect([failure.kind, failure.message]).toEqual([
    'unauthorized',
    'web-1: the SecureOn password file:/etc/nemuri/wol must be six bytes in hex parted by colons, or four in figures parted by dots',
  ]);
});

test('cancelled between two packets it ends at once', async () => {
  const abort = new AbortController();
  const port = await listen(() => abort.abort(new Error('stopping')));
  const waking = driverOf({ ports: [port], packets: 100, packetIntervalMs: 60_000 }).wake(abort.signal);
  await expect(waking).rejects.toThrow('stopping');
});
