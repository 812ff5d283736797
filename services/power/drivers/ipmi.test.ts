import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createIpmiDriver, kindOfIpmiFailure } from './ipmi.ts';
import { failureOf, kindOf, never } from './testing/bench.ts';
import { type IpmiSim, startIpmiSim } from './testing/ipmiSim.ts';
import { createWorkshop, deps, describeWith, methodOf, secretText } from './testing/peers.ts';

const workshop = createWorkshop();
const { resolveSecret: _, ...clock } = deps;

const driverOf = (method: object, password = secretText, searchPath?: string) =>
  createIpmiDriver(
    'web-1',
    methodOf('ipmi', { host: '127.0.0.1', username: 'nemuri', password: 'env:BMC', ...method }),
    { ...clock, resolveSecret: () => password, ...(searchPath ? { searchPath } : {}) },
  );

describeWith({ ipmitool: 'ipmitool', ipmi_sim: 'openipmi' }, 'a BMC by ipmi_sim', () => {
  let sim: IpmiSim;

  beforeAll(async () => {
    sim = await startIpmiSim(await workshop.folder());
    // It listens when it first answers.
    const driver = driverOf({ port: sim.port });
    await expect(driver.readPower(never)).resolves.toBe('off');
  });
  afterAll(async () => {
    await sim.stop();
    await workshop.clear();
  });

  test('is woken, read and put to sleep; what is fulfilled already is not sent again', async () => {
    const driver = driverOf({ port: sim.port });
    await sim.setPower('0');
    const before = (await sim.commands()).length;
    await driver.wake(never);
    expect(await driver.readPower(never)).toBe('on');
    await driver.wake(never);
    await driver.sleep('graceful', never);
    expect(await driver.readPower(never)).toBe('off');
    await driver.sleep('graceful', never);
    await driver.sleep('forced', never);
    await driver.wake(never);
    await driver.sleep('forced', never);
    expect(await sim.power()).toBe('0');
    expect((await sim.commands()).slice(before)).toEqual(['power 1', 'shutdown 1', 'power 1', 'power 0']);
  });

  test.each<[string, object, string]>([
    ['a wrong password', {}, 'RAKP 2 HMAC is invalid'],
    ['an unknown user', { username: 'nobody' }, 'unauthorized name'],
    ['more privilege than the user has', { privilege: 'ADMINISTRATOR' }, ''],
  ])('%s is unauthorized', async (_what, method, text) => {
    const failure = await failureOf(
      driverOf({ port: sim.port, ...method }, 'wrong-Passw0rd').readPower(never),
    );
    expect(failure.kind).toBe('unauthorized');
    expect(failure.message).toContain(text);
    expect(failure.message).not.toContain('wrong-Passw0rd');
  });

  test('a user who may only read offers no more, and is refused it', async () => {
    const driver = driverOf({ port: sim.port, privilege: 'USER' });
    expect([...driver.capabilities]).toEqual(['readPower', 'meter']);
    await sim.setPower('0');
    expect(await kindOf(driver.wake(never))).toBe('unauthorized');
    expect(await sim.power()).toBe('0');
  });

  test('a BMC without DCMI has no meter', async () => {
    const driver = driverOf({ port: sim.port, username: 'boss', privilege: 'ADMINISTRATOR' });
    expect(await driver.meter(never)).toEqual({
      powerWatts: undefined,
      source: 'the BMC offers no DCMI meter',
    });
  });

  test('a cancelled call ends with its reason', async () => {
    const abort = new AbortController();
    const reading = driverOf({ port: sim.port }).readPower(abort.signal);
    abort.abort(new Error('stopping'));
    await expect(reading).rejects.toThrow('stopping');
  });
});

describeWith({ ipmitool: 'ipmitool' }, 'a BMC that', () => {
  afterEach(() => workshop.clear());

  test('never answers is unreachable, within the time-out', async () => {
    const port = await workshop.udpPeer(() => {});
    const failure = await failureOf(driverOf({ port, commandTimeoutMs: 500 }).readPower(never));
    expect([failure.kind, failure.message]).toEqual([
      'unreachable',
      'web-1: ipmitool did not end within 500 ms',
    ]);
  });

  test('answers rubbish is unreachable', async () => {
    const port = await workshop.udpPeer((_message, reply) => reply(Buffer.from('rubbish '.repeat(100))));
    expect(await kindOf(driverOf({ port, commandTimeoutMs: 3_000 }).wake(never))).toBe('unreachable');
  });

  test('has no name is unreachable', async () => {
    const driver = driverOf({ host: 'bmc.invalid', commandTimeoutMs: 10_000 });
    expect(await kindOf(driver.readPower(never))).toBe('unreachable');
  });
});

describe('ipmitool', () => {
  afterEach(() => workshop.clear());

  test('gets the password by its environment and never by its arguments', async () => {
    const folder = await workshop.folder();
    const script = `printf '%s\\n' "$@" > ${folder}/args; echo "$IPMI_PASSWORD" > ${folder}/env; echo "Chassis Power is on"`;
    const searchPath = await workshop.program('ipmitool', script);
    const driver = driverOf({ host: '10.0.1.1', port: 6_230, cipherSuite: 17 }, secretText, searchPath);
    expect(await driver.readPower(never)).toBe('on');
    expect(await readFile(join(folder, 'env'), 'utf8')).toBe(`${secretText}\n`);
    const args = (await readFile(join(folder, 'args'), 'utf8')).trim().split('\n').join(' ');
    expect(args).toBe(
      '-v -I lanplus -C 17 -H 10.0.1.1 -p 6230 -U nemuri -E -L OPERATOR -N 1 -R 3 chassis power status',
    );
  });

  test.each<[string, string, string]>([
    ['rubbish', 'echo "Chassis Power is broken"', 'protocol'],
    ['nothing', 'true', 'protocol'],
    ['endless output', 'yes', 'protocol'],
    ['that the node is busy', 'echo "Get Chassis Power Status failed: Node busy" >&2; exit 1', 'busy'],
    ['what is new to us', 'echo "flux capacitor" >&2; exit 1', 'refused'],
  ])('says %s', async (_what, script, kind) => {
    const searchPath = await workshop.program('ipmitool', script);
    expect(await kindOf(driverOf({}, secretText, searchPath).readPower(never))).toBe(kind);
  });

  test('is not installed: that is what is said', async () => {
    const searchPath = await workshop.folder();
    expect((await failureOf(driverOf({}, secretText, searchPath).readPower(never))).message).toBe(
      "web-1: ipmitool can't be run (ENOENT): is it installed?",
    );
  });

  test('a refusal for the state that is wanted is a success', async () => {
    const folder = await workshop.folder();
    const script = `case "$*" in
*status) if [ -e ${folder}/on ]; then echo "Chassis Power is on"; else echo "Chassis Power is off"; fi ;;
*) touch ${folder}/on; echo "Set Chassis Power Control to Up/On failed: Command not supported in present state" >&2; exit 1 ;;
esac`;
    const searchPath = await workshop.program('ipmitool', script);
    await driverOf({}, secretText, searchPath).wake(never);
    expect(await kindOf(driverOf({}, secretText, searchPath).sleep('graceful', never))).toBe('refused');
  });
});

describe('DCMI', () => {
  afterEach(() => workshop.clear());

  // As ipmitool 1.8.19 prints it (lib/ipmi_dcmi.c).
  const reading = (watts: number, state = 'activated') => `
    Instantaneous power reading:                   ${watts} Watts
    Minimum during sampling period:                  8 Watts
    Maximum during sampling period:                340 Watts
    Average power reading over sample period:      187 Watts
    IPMI timestamp:                           Tue Nov 24 21:00:00 2026    Sampling period:                          00000001 Seconds.
    Power reading state is:                   ${state}
`;
  const meterOf = async (text: string, state: string) => {
    const folder = await workshop.folder();
    const script = `case "$*" in *status) echo "Chassis Power is ${state}" ;; *) cat <<'EOF'\n${text}\nEOF\n;; esac`;
    const searchPath = await workshop.program('ipmitool', `cd ${folder}\n${script}`);
    return driverOf({ host: '10.0.1.1' }, secretText, searchPath).meter(never);
  };
  const source = 'DCMI power reading of 10.0.1.1';

  test.each<[string, string, string, number | undefined]>([
    ['watts', reading(212), 'on', 212],
    ['0 W while on', reading(0), 'on', undefined],
    ['0 W while off', reading(0), 'off', 0],
    ['a meter that is switched off', reading(212, 'deactivated'), 'on', undefined],
  ])('%s', async (_what, text, state, powerWatts) => {
    expect(await meterOf(text, state)).toEqual({ powerWatts, source });
  });
});

test.each<[string, string]>([
  ['Error: Unable to establish IPMI v2 / RMCP+ session', 'unreachable'],
  ['> RAKP 2 HMAC is invalid\nError: Unable to establish IPMI v2 / RMCP+ session', 'unauthorized'],
  ['Error in open session response message : invalid authentication algorithm', 'unsupported'],
  ['Set Chassis Power Control to Up/On failed: Insufficient privilege level', 'unauthorized'],
  ['DCMI request failed because: Invalid command (c1)', 'unsupported'],
])('%s: %s', (text, kind) => expect(kindOfIpmiFailure(text)).toBe(kind));
