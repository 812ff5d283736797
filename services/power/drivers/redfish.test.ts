import { join } from 'node:path';
import { createBench, failureOf, never } from './testing/bench.ts';
import {
  createRecordedBmc,
  errorBody,
  type FakeBmc,
  reply,
  resetPath,
  systemPath,
} from './testing/fakeBmc.ts';

const bench = createBench();
beforeAll(bench.open);
afterEach(bench.clear);

const chassisPath = '/redfish/v1/Chassis/1';
const powerPath = `${chassisPath}/Power`;

async function start() {
  const bmc = await bench.createBmc();
  return { bmc, driver: bench.createDriver(bmc) };
}

/** Gives the system's reset action other properties. */
function setAction(bmc: FakeBmc, properties: Record<string, unknown>): void {
  bmc.system().Actions = { '#ComputerSystem.Reset': { target: resetPath, ...properties } };
}

const allow = (...types: string[]) => ({ 'ResetType@Redfish.AllowableValues': types });

describe('readPower', () => {
  test.each([
    ['On', 'on'],
    ['Off', 'off'],
    ['PoweringOn', 'poweringOn'],
    ['PoweringOff', 'poweringOff'],
    ['Paused', 'on'],
    ['Hovering', 'unknown'],
    [null, 'unknown'],
    [undefined, 'unknown'],
  ])('%s is %s', async (said, expected) => {
    const { bmc, driver } = await start();
    bmc.system().PowerState = said;
    expect(await driver.readPower(never)).toBe(expected);
  });

  test('is read anew each time, at one GET', async () => {
    const { bmc, driver } = await start();
    expect(await driver.readPower(never)).toBe('off');
    bmc.system().PowerState = 'On';
    const before = bmc.requests.length;
    expect(await driver.readPower(never)).toBe('on');
    expect(bmc.requests.slice(before).map(({ path }) => path)).toEqual([systemPath]);
  });

  test('finds the system again when it moved', async () => {
    const { bmc, driver } = await start();
    await driver.readPower(never);
    bmc.resources.delete(systemPath);
    bmc.resources.set('/redfish/v1/Systems/node', { PowerState: 'On' });
    // With a slash at the end, as some iLOs write their links.
    bmc.resources.set('/redfish/v1/Systems', { Members: [{ '@odata.id': '/redfish/v1/Systems/node/' }] });
    expect(await driver.readPower(never)).toBe('on');
  });
});

describe('the system', () => {
  async function startWithTwo(systemId?: string) {
    const bmc = await bench.createBmc();
    const links = ['1', '2'].map((id) => ({ '@odata.id': `/redfish/v1/Systems/${id}` }));
    bmc.resources.set('/redfish/v1/Systems', { Members: links });
    bmc.resources.set('/redfish/v1/Systems/2', { PowerState: 'On' });
    return bench.createDriver(bmc, systemId === undefined ? {} : { method: { systemId } });
  }

  test('is the one that systemId names', async () => {
    expect(await (await startWithTwo('2')).readPower(never)).toBe('on');
  });

  test.each([[undefined], ['3']])(
    'with systemId %s the error lists those that are there',
    async (systemId) => {
      const failure = await failureOf((await startWithTwo(systemId)).readPower(never));
      expect(failure.kind).toBe('refused');
      expect(failure.message).toMatch(/web-1: .*: 1, 2$/);
    },
  );

  test('an empty collection is nonsense', async () => {
    const { bmc, driver } = await start();
    bmc.resources.set('/redfish/v1/Systems', { Members: [] });
    expect((await failureOf(driver.readPower(never))).kind).toBe('protocol');
  });
});

describe('wake', () => {
  test.each([
    ['On first', allow('PushPowerButton', 'ForceOn', 'On'), 'On'],
    ['ForceOn else', allow('PushPowerButton', 'ForceOn'), 'ForceOn'],
    ['the power button last', allow('PushPowerButton'), 'PushPowerButton'],
    ['the standard default without a list', {}, 'On'],
    ['the standard default with an empty list', allow(), 'On'],
  ])('sends %s', async (_, properties, expected) => {
    const { bmc, driver } = await start();
    setAction(bmc, properties);
    await driver.wake(never);
    expect(bmc.resets()).toEqual([expected]);
    expect(await driver.readPower(never)).toBe('on');
  });

  test.each([['On'], ['PoweringOn']])('sends nothing in state %s', async (state) => {
    const { bmc, driver } = await start();
    bmc.system().PowerState = state;
    await driver.wake(never);
    expect(bmc.resets()).toEqual([]);
  });

  test.each([['PoweringOff'], [null]])('never presses the button in state %s', async (state) => {
    const { bmc, driver } = await start();
    setAction(bmc, allow('PushPowerButton'));
    bmc.system().PowerState = state;
    expect((await failureOf(driver.wake(never))).kind).toBe('unsupported');
    expect(bmc.resets()).toEqual([]);
  });

  test('does not press the button when the state changed meanwhile', async () => {
    const { bmc, driver } = await start();
    setAction(bmc, allow('PushPowerButton'));
    const off = { ...bmc.system() };
    bmc.script('GET', systemPath, (_, response) => reply(response, 200, off), 1);
    bmc.system().PowerState = 'On';
    expect((await failureOf(driver.wake(never))).kind).toBe('busy');
    expect(bmc.resets()).toEqual([]);
  });

  test('resumes a paused machine', async () => {
    const { bmc, driver } = await start();
    setAction(bmc, allow('On', 'Resume'));
    bmc.system().PowerState = 'Paused';
    await driver.wake(never);
    expect(bmc.resets()).toEqual(['Resume']);
  });

  test('a 409 from a machine that is on already is a success; from one that is off it is not', async () => {
    const { bmc, driver } = await start();
    bmc.script('POST', resetPath, (_, response) => reply(response, 409), 1);
    expect((await failureOf(driver.wake(never))).kind).toBe('refused');
    bmc.script('POST', resetPath, (_, response) => {
      bmc.system().PowerState = 'On';
      reply(response, 409, errorBody('already on'));
    });
    await driver.wake(never);
    expect(bmc.resets()).toEqual(['On', 'On']);
  });

  test('asks the action info for the types', async () => {
    const { bmc, driver } = await start();
    setAction(bmc, { '@Redfish.ActionInfo': '/redfish/v1/Systems/1/ResetActionInfo' });
    bmc.resources.set('/redfish/v1/Systems/1/ResetActionInfo', {
      Parameters: [{ Name: 'ResetType', AllowableValues: ['ForceOn'] }],
    });
    await driver.wake(never);
    expect(bmc.resets()).toEqual(['ForceOn']);
  });

  test('takes the standard default when the action info is not there', async () => {
    const { bmc, driver } = await start();
    setAction(bmc, { '@Redfish.ActionInfo': { '@odata.id': '/redfish/v1/nowhere' } });
    await driver.wake(never);
    expect(bmc.resets()).toEqual(['On']);
  });

  test('a system without the action can not be switched', async () => {
    const { bmc, driver } = await start();
    bmc.system().Actions = {};
    expect((await failureOf(driver.wake(never))).kind).toBe('unsupported');
  });

  test.each([[412], [428]])('a %i is answered with the ETag', async (status) => {
    const { bmc, driver } = await start();
    bmc.system()['@odata.etag'] = 'W/"7"';
    bmc.script('POST', resetPath, ({ headers }, response) => {
      const fits = headers['if-match'] === 'W/"7"';
      if (fits) bmc.system().PowerState = 'On';
      reply(response, fits ? 204 : status);
    });
    await driver.wake(never);
    expect(bmc.resets()).toEqual(['On', 'On']);
  });

  test('an ETag that stays stale is refused', async () => {
    const { bmc, driver } = await start();
    bmc.script('POST', resetPath, (_, response) => reply(response, 412, errorBody('stale')));
    const failure = await failureOf(driver.wake(never));
    expect([failure.kind, failure.message]).toEqual(['refused', `web-1: POST ${resetPath}: 412 stale`]);
    expect(bmc.resets()).toHaveLength(2);
  });
});

describe('sleep', () => {
  test.each([
    ['graceful', allow('ForceOff', 'GracefulShutdown', 'PushPowerButton'), 'GracefulShutdown'],
    ['graceful', allow('ForceOff', 'PushPowerButton'), 'PushPowerButton'],
    ['graceful', allow('On', 'GracefulShutdownGracefulRestart'), 'GracefulShutdown'],
    ['graceful', {}, 'GracefulShutdown'],
    ['forced', allow('ForceOff', 'GracefulShutdown'), 'ForceOff'],
    ['forced', {}, 'ForceOff'],
  ] as const)('%s with %j sends %s', async (how, properties, expected) => {
    const { bmc, driver } = await start();
    bmc.system().PowerState = 'On';
    setAction(bmc, properties);
    await driver.sleep(how, never);
    expect(bmc.resets()).toEqual([expected]);
  });

  test.each([
    ['graceful', 'Off', []],
    ['graceful', 'PoweringOff', []],
    ['forced', 'Off', []],
    // It may hang there for ever.
    ['forced', 'PoweringOff', ['ForceOff']],
  ] as const)('%s in state %s sends %j', async (how, state, expected) => {
    const { bmc, driver } = await start();
    bmc.system().PowerState = state;
    await driver.sleep(how, never);
    expect(bmc.resets()).toEqual(expected);
  });

  test('never presses the button of a machine whose state is not known', async () => {
    const { bmc, driver } = await start();
    setAction(bmc, allow('PushPowerButton'));
    bmc.system().PowerState = null;
    const failure = await failureOf(driver.sleep('graceful', never));
    expect([failure.kind, bmc.resets()]).toEqual(['unsupported', []]);
  });

  test('graceful never becomes forced', async () => {
    const { bmc, driver } = await start();
    bmc.system().PowerState = 'On';
    setAction(bmc, allow('On', 'ForceOff'));
    expect((await failureOf(driver.sleep('graceful', never))).kind).toBe('unsupported');
    expect(bmc.resets()).toEqual([]);
  });
});

describe('meter', () => {
  test('reads EnvironmentMetrics before Power, and remembers the place: one GET', async () => {
    const { bmc, driver } = await start();
    const metricsPath = `${chassisPath}/EnvironmentMetrics`;
    bmc.resources.set(chassisPath, {
      Power: { '@odata.id': powerPath },
      EnvironmentMetrics: { '@odata.id': metricsPath },
    });
    bmc.resources.set(metricsPath, { PowerWatts: { Reading: 374 } });
    const source = `${metricsPath}#/PowerWatts/Reading`;
    expect(await driver.meter(never)).toEqual({ powerWatts: 374, source });
    bmc.resources.set(metricsPath, { PowerWatts: { Reading: 250.5 } });
    const before = bmc.requests.length;
    expect(await driver.meter(never)).toEqual({ powerWatts: 250.5, source });
    expect(bmc.requests.slice(before).map(({ path }) => path)).toEqual([metricsPath]);
    bmc.resources.delete(metricsPath);
    expect(await driver.meter(never)).toMatchObject({ powerWatts: 150 });
  });

  test('finds the only chassis when the system names none', async () => {
    const { bmc, driver } = await start();
    bmc.system().Links = {};
    expect(await driver.meter(never)).toMatchObject({ powerWatts: 150 });
  });

  test('sums the domains of this system, and no part twice', async () => {
    const { bmc, driver } = await start();
    const of = (path: string) => [{ '@odata.id': path }];
    const PowerControl = [
      { PowerConsumedWatts: 100, RelatedItem: of(systemPath) },
      { PowerConsumedWatts: 110, RelatedItem: of(systemPath) },
      { PowerConsumedWatts: 60, RelatedItem: of(systemPath), PhysicalContext: 'CPU' },
      { PowerConsumedWatts: 900, RelatedItem: of('/redfish/v1/Systems/2') },
      { PowerConsumedWatts: null, RelatedItem: of(systemPath) },
    ];
    bmc.resources.set(powerPath, { PowerControl });
    expect((await driver.meter(never)).powerWatts).toBe(210);
  });

  test('0 W while on is no reading, while off it is one', async () => {
    const { bmc, driver } = await start();
    bmc.resources.set(powerPath, { PowerControl: [{ PowerConsumedWatts: 0 }] });
    expect((await driver.meter(never)).powerWatts).toBe(0);
    bmc.system().PowerState = 'On';
    expect((await driver.meter(never)).powerWatts).toBeUndefined();
    expect((await driver.meter(never)).powerWatts).toBeUndefined();
  });

  test('a system without a meter is searched again only after a while', async () => {
    const bmc = await bench.createBmc();
    let nowMs = 0;
    const driver = bench.createDriver(bmc, { now: () => nowMs, limits: { meterSearchIntervalMs: 1_000 } });
    bmc.resources.delete(chassisPath);
    expect((await driver.meter(never)).powerWatts).toBeUndefined();
    const before = bmc.requests.length;
    expect((await driver.meter(never)).powerWatts).toBeUndefined();
    expect(bmc.requests).toHaveLength(before);
    bmc.resources.set(chassisPath, { Power: { '@odata.id': powerPath } });
    nowMs = 1_000;
    expect((await driver.meter(never)).powerWatts).toBe(150);
  });

  test('a failing BMC is a failure, not a missing meter', async () => {
    const { bmc, driver } = await start();
    bmc.script('GET', chassisPath, (_, response) => reply(response, 503));
    expect((await failureOf(driver.meter(never))).kind).toBe('busy');
  });
});

describe('recorded trees', () => {
  test.each([
    ['dmtf_rackmount1', 374, ['On', 'GracefulShutdown']],
    ['hpe_dl360_ilo5', 150, ['On', 'GracefulShutdown']],
    ['dell_idrac9', undefined, ['On', 'GracefulShutdown']],
    ['supermicro_x12_510t', undefined, ['On', 'GracefulShutdown']],
  ])('%s: power, meter and the reset types', async (tree, powerWatts, resets) => {
    const folder = join(__dirname, 'testing', 'trees', tree);
    const bmc = await bench.createBmc((certificate) => createRecordedBmc(certificate, folder));
    const driver = bench.createDriver(bmc);
    expect(await driver.readPower(never)).toBe('on');
    expect((await driver.meter(never)).powerWatts).toBe(powerWatts);
    // Nothing is switched: the commands go to a script, the states to copies.
    const found = [...bmc.resources].find(([, { PowerState, Actions }]) => PowerState && Actions)?.[0] ?? '';
    const sent: string[] = [];
    bmc.script('POST', `${found}/Actions/ComputerSystem.Reset`, ({ body }, response) => {
      sent.push(JSON.parse(body).ResetType);
      reply(response, 200, errorBody('ok', 'Base.1.18.Success'));
    });
    bmc.script(
      'GET',
      found,
      (_, response) => reply(response, 200, { ...bmc.resources.get(found), PowerState: 'Off' }),
      1,
    );
    await driver.wake(never);
    await driver.sleep('graceful', never);
    expect(sent).toEqual(resets);
  });
});
