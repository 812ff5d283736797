import { createSocket } from 'node:dgram';
import { until } from '../../../libs/bus/testing/until.ts';
import { createPduDriver } from './pdu.ts';
import { failureOf, kindOf, never } from './testing/bench.ts';
import { createWorkshop, deps, describeWith, methodOf, secretText } from './testing/peers.ts';
import {
  outletOid,
  readOnlyCommunity,
  type SnmpPdu,
  snmpUser,
  startSnmpPdu,
  wattsOid,
} from './testing/snmpAgent.ts';
import { type SnmpdPdu, startSnmpdPdu } from './testing/snmpd.ts';

const workshop = createWorkshop();
const workshopOfAll = createWorkshop();
let pdu: SnmpPdu;
beforeAll(async () => {
  pdu = await startSnmpPdu();
});
beforeEach(() => {
  pdu.outlet = 2;
  pdu.tenthsOfWatts = 0;
});
afterEach(() => workshop.clear());
afterAll(() => pdu.close());

const metered = { wattsOid, wattsFactor: 0.1 };
const driverOf = (method: object = {}, secret = secretText) => {
  const known = 'user' in method ? {} : { community: 'env:COMMUNITY' };
  const all = { host: '127.0.0.1', port: pdu.port, outletOid, requestTimeoutMs: 3_000, ...known, ...method };
  return createPduDriver('web-1', methodOf('pdu', all), { ...deps, resolveSecret: () => secret });
};

test('switches its outlet on, and off only when it is allowed', async () => {
  const driver = driverOf();
  expect(await driver.readPower(never)).toBe('off');
  await driver.wake(never);
  await driver.wake(never);
  expect([pdu.outlet, await driver.readPower(never)]).toEqual([1, 'on']);
  expect([...driver.capabilities]).toEqual(['wake', 'readPower']);
  expect(await kindOf(driver.sleep('forced', never))).toBe('unsupported');
  expect(pdu.outlet).toBe(1);
  const allowed = driverOf({ allowSleep: true });
  await allowed.sleep('graceful', never);
  await allowed.sleep('forced', never);
  expect(pdu.outlet).toBe(2);
});

test.each<[string, number, number, number | undefined]>([
  ['a load', 1, 2_125, 212.5],
  ['0 W while on', 1, 0, undefined],
  ['0 W while off', 2, 0, 0],
])('meters %s', async (_what, outlet, tenthsOfWatts, powerWatts) => {
  pdu.outlet = outlet;
  pdu.tenthsOfWatts = tenthsOfWatts;
  const driver = driverOf(metered);
  expect(await driver.meter(never)).toEqual({ powerWatts, source: `PDU 127.0.0.1 ${wattsOid}` });
});

test('the machine behind an outlet that is on is on by its watts', async () => {
  pdu.outlet = 1;
  pdu.tenthsOfWatts = 80;
  const driver = driverOf({ ...metered, onAboveWatts: 30 });
  expect(await driver.readPower(never)).toBe('off');
  pdu.tenthsOfWatts = 1_200;
  expect(await driver.readPower(never)).toBe('on');
});

describe('a cycle', () => {
  const cycling = { ...metered, onAboveWatts: 30, cycle: true };

  test('cuts what draws nothing and gives the power back, also when it is cancelled', async () => {
    pdu.outlet = 1;
    pdu.tenthsOfWatts = 80;
    const abort = new AbortController();
    const waking = driverOf({ ...cycling, cycleOffMs: 60_000 }).wake(abort.signal);
    const outcome = expect(waking).rejects.toThrow('stopping');
    await until(() => pdu.outlet === 2);
    abort.abort(new Error('stopping'));
    await outcome;
    expect(pdu.outlet).toBe(1);
    await driverOf({ ...cycling, cycleOffMs: 1 }).wake(never);
    expect(pdu.outlet).toBe(1);
  });

  test('never cuts a machine that draws power', async () => {
    pdu.outlet = 1;
    pdu.tenthsOfWatts = 1_200;
    await driverOf({ ...cycling, cycleOffMs: 60_000 }).wake(never);
    expect(pdu.outlet).toBe(1);
  });
});

describe('SNMP v3', () => {
  const user = { name: snmpUser, authProtocol: 'sha256', authKey: 'env:AUTH', privKey: 'env:PRIV' };

  test('authenticates and encrypts', async () => {
    await driverOf({ user }).wake(never);
    expect(pdu.outlet).toBe(1);
  });

  test('an unknown user is unauthorized', async () => {
    const failure = await failureOf(driverOf({ user: { ...user, name: 'nobody' } }).wake(never));
    expect([failure.kind, failure.message]).toEqual([
      'unauthorized',
      'web-1: PDU 127.0.0.1: Unknown User Name',
    ]);
  });
});

describeWith({ snmpd: 'snmpd' }, 'a PDU by Net-SNMP', () => {
  const user = { name: snmpUser, authProtocol: 'sha256', authKey: 'env:AUTH', privKey: 'env:PRIV' };
  let agent: SnmpdPdu;
  beforeAll(async () => {
    agent = await startSnmpdPdu(await workshopOfAll.folder());
  });
  afterAll(async () => {
    await agent.stop();
    await workshopOfAll.clear();
  });
  const at = (method: object) => ({ port: agent.port, outletOid: agent.outletOid, ...method });

  test.each<[string, object]>([
    ['v2c', {}],
    ['v3', { user }],
  ])('is switched and read by %s', async (_version, method) => {
    const driver = driverOf(at({ ...method, allowSleep: true }));
    await driver.sleep('graceful', never);
    expect(await driver.readPower(never)).toBe('off');
    await driver.wake(never);
    expect(await driver.readPower(never)).toBe('on');
  });

  test.each<[string, object, string, string]>([
    ['a wrong key', user, 'wrong-Passw0rd', 'Wrong Digest (incorrect password, community or key)'],
    ['an unknown user', { ...user, name: 'nobody' }, secretText, 'Unknown User Name'],
  ])('%s is unauthorized', async (_what, tried, secret, text) => {
    const failure = await failureOf(driverOf(at({ user: tried }), secret).wake(never));
    expect([failure.kind, failure.message]).toEqual(['unauthorized', `web-1: PDU 127.0.0.1: ${text}`]);
  });
});

describe('when it goes wrong', () => {
  test('a community that may only read reads', async () => {
    const driver = driverOf({}, readOnlyCommunity);
    expect(await driver.readPower(never)).toBe('off');
    expect(await kindOf(driver.wake(never))).toBe('unauthorized');
  });

  test('an agent does not answer a wrong community', async () => {
    const failure = await failureOf(driverOf({ requestTimeoutMs: 300 }, 'wrong-Passw0rd').readPower(never));
    expect([failure.kind, failure.message]).toEqual([
      'unreachable',
      'web-1: PDU 127.0.0.1: Request timed out',
    ]);
  });

  test('silence ends within the time-out, rubbish is named', async () => {
    const silent = await workshop.udpPeer(() => {});
    expect(await kindOf(driverOf({ port: silent, requestTimeoutMs: 150 }).readPower(never))).toBe(
      'unreachable',
    );
    const rubbish = await workshop.udpPeer((_message, reply) => reply(Buffer.from('x'.repeat(9_000))));
    const failure = await failureOf(driverOf({ port: rubbish, requestTimeoutMs: 150 }).readPower(never));
    expect([failure.kind, failure.message]).toEqual([
      'protocol',
      'web-1: PDU 127.0.0.1: answers what is no SNMP',
    ]);
  });

  test('two of three packets lost are sent again', async () => {
    let count = 0;
    const port = await workshop.udpPeer((message, reply) => {
      count += 1;
      if (count % 3 !== 0) return;
      const relay = createSocket('udp4');
      relay.once('message', (answer) => {
        reply(answer);
        relay.close();
      });
      relay.send(message, pdu.port, '127.0.0.1');
    });
    await driverOf({ port, requestTimeoutMs: 300 }).wake(never);
    expect(pdu.outlet).toBe(1);
    expect(count).toBe(6);
  });

  test('an outlet that is not there, or in a state that is none', async () => {
    const nowhere = driverOf({ outletOid: '1.3.6.1.4.1.318.9.9' });
    expect([await kindOf(nowhere.readPower(never)), await kindOf(nowhere.wake(never))]).toEqual([
      'refused',
      'refused',
    ]);
    pdu.outlet = 7;
    const failure = await failureOf(driverOf().wake(never));
    expect([failure.kind, failure.message]).toEqual([
      'protocol',
      `web-1: PDU 127.0.0.1 outlet ${outletOid} is 7, neither onValue nor offValue`,
    ]);
  });

  test('a cancelled call ends with its reason', async () => {
    const abort = new AbortController();
    const port = await workshop.udpPeer(() => abort.abort(new Error('stopping')));
    await expect(driverOf({ port }).readPower(abort.signal)).rejects.toThrow('stopping');
  });
});
