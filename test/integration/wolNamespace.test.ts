import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { describeWith, methodOf } from '../../services/power/drivers/testing/peers.ts';
import { magicPacket } from '../../services/power/drivers/wol.ts';

/**
 * Magic packets over real links: two network namespaces, joined by two veth pairs. Needs `npm run build`, and root
 * to make the namespaces, which are ours alone.
 */

const run = promisify(execFile);
const ip = (...args: string[]) => run('ip', args);
const [ours, theirs] = ['a', 'b'].map((side) => `nemuri-${side}-${process.pid}`) as [string, string];
const mac = '52:54:00:12:34:56';

/** Prints each datagram on UDP port 9 with its sender, as a sleeping machine's card would see it. */
const card = `
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (packet, from) => console.log(from.address, packet.toString('hex')));
socket.bind(9, '0.0.0.0', () => console.log('listening'));
`;
/** Wakes by the driver as it is built. */
const waker = `
const { createDriver } = await import('./dist/services/power/drivers/registry.js');
const driver = createDriver('web-1', JSON.parse(process.argv[1]), { resolveSecret: () => '', now: Date.now });
await driver.wake(new AbortController().signal);
`;

const mayMakeNamespaces = process.getuid?.() === 0 && spawnSync('unshare', ['--net', 'true']).status === 0;
const tests: typeof describeWith = mayMakeNamespaces
  ? describeWith
  : (_programs, name, its) => describe.skip(`${name} (skipped: needs root and network namespaces)`, its);

tests({ ip: 'iproute2' }, 'Wake-on-LAN over veth pairs', () => {
  let receiver: ChildProcess;
  let lines: AsyncIterator<string>;

  beforeAll(async () => {
    for (const namespace of [ours, theirs]) await ip('netns', 'add', namespace);
    for (const network of [1, 2]) {
      const [near, far] = [`a${network}`, `b${network}`];
      await ip('-n', ours, 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', theirs);
      for (const [namespace, link, host] of [
        [ours, near, 1],
        [theirs, far, 2],
      ] as const) {
        await ip('-n', namespace, 'addr', 'add', `10.77.${network}.${host}/24`, 'brd', '+', 'dev', link);
        await ip('-n', namespace, 'link', 'set', link, 'up');
      }
    }
    receiver = spawn('ip', ['netns', 'exec', theirs, process.execPath, '-e', card], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (!receiver.stdout) throw new Error('no stdout');
    lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe('listening');
  });

  afterAll(async () => {
    receiver.kill('SIGKILL');
    await once(receiver, 'close');
    for (const namespace of [ours, theirs]) await ip('netns', 'del', namespace);
  });

  const wake = async (method: object) => {
    const json = JSON.stringify(methodOf('wol', { macs: [mac], packets: 1, ...method }));
    await ip('netns', 'exec', ours, process.execPath, '--input-type=module', '-e', waker, json);
  };

  test.each<[string, object, string]>([
    ['a directed broadcast', { broadcasts: ['10.77.1.255'] }, '10.77.1.1'],
    ['another network', { broadcasts: ['10.77.2.255'] }, '10.77.2.1'],
    ['the limited broadcast of the network we name', { sourceAddress: '10.77.2.1' }, '10.77.2.1'],
  ])('%s arrives as sent', async (_what, method, sender) => {
    await wake(method);
    expect((await lines.next()).value).toBe(`${sender} ${magicPacket(mac).toString('hex')}`);
  });

  test('a network that has no way to it is a failure, and no packet goes elsewhere', async () => {
    await expect(wake({ broadcasts: ['192.0.2.255'] })).rejects.toThrow(
      'no magic packet could be sent (ENETUNREACH)',
    );
    await wake({ broadcasts: ['10.77.1.255'] });
    expect((await lines.next()).value).toContain('10.77.1.1 ');
  });
});
