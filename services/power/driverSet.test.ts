import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { Capability, PowerMethod } from '../../libs/events/mod.ts';
import { createDriverSet } from './driverSet.ts';
import { createDriver } from './drivers/registry.ts';
import { deps, methodOf } from './drivers/testing/peers.ts';

const ladder: PowerMethod[] = [
  methodOf('wol', { macs: ['52:54:00:12:34:56'] }),
  methodOf('ssh', {
    host: '10.0.0.1',
    username: 'nemuri',
    keyFile: '/key',
    knownHostsFile: '/known_hosts',
    sleepCommand: 'sudo systemctl poweroff',
  }),
  methodOf('ipmi', { host: '10.0.1.1', username: 'nemuri', password: 'env:BMC' }),
  methodOf('http', { url: 'http://10.0.2.1', meter: { path: '/', jsonPath: 'apower' } }),
  methodOf('pdu', { host: '10.0.3.1', outletOid: '1.3.6.1.4.1.318.7', community: 'env:SNMP' }),
];

test('the first rung that can do a thing does it', async () => {
  const config = fleetConfig({ servers: 1 });
  const [name] = Object.keys(config.servers);
  const server = config.servers[name ?? ''];
  if (name === undefined || !server) throw new Error('no server');
  const drivers = createDriverSet((its, method) => createDriver(its, method, deps));
  drivers.configure({ ...config, servers: { [name]: { ...server, power: ladder } } });
  const capabilities: Capability[] = ['wake', 'sleep', 'forceOff', 'readPower', 'meter'];
  expect(capabilities.map((capability) => drivers.driverThat(name, capability)?.name)).toEqual([
    'wol',
    'ssh',
    'ipmi',
    'ipmi',
    'ipmi',
  ]);
  expect(ladder.map((_method, rung) => drivers.driverOf(name, rung)?.name)).toEqual([
    'wol',
    'ssh',
    'ipmi',
    'http',
    'pdu',
  ]);
  expect(drivers.driversOf(name).map((driver) => driver.name)).toEqual(['wol', 'ssh', 'ipmi', 'http', 'pdu']);
  expect(drivers.driverThat('nobody', 'wake')).toBeUndefined();
  await drivers.close();
});
