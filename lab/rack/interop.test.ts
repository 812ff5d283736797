import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { type Rack, startRack } from './rack.ts';

/**
 * Independent Redfish clients against the rack's BMCs: DMTF redfishtool and OpenStack sushy (Debian: redfishtool,
 * python3-sushy). Skipped, saying so, where they are not installed.
 */
const run = promisify(execFile);
// Debian's own Python, which has sushy; another may come first on the PATH.
const python = '/usr/bin/python3';
// A CA bundle named in the environment would win over the one the client is given.
const env = { PATH: process.env.PATH ?? '' };
const hasRedfishtool = spawnSync('redfishtool', ['-V']).status === 0;
const hasSushy = spawnSync(python, ['-c', 'import sushy']).status === 0;
const withRedfishtool = hasRedfishtool ? it : it.skip;
const withSushy = hasSushy ? it : it.skip;

let rack: Rack;

beforeAll(async () => {
  rack = await startRack({
    servers: 1,
    setupTimeMs: 300,
    poweringOnMs: 50,
    shutdownMs: 100,
    password: 'rack-interop',
  });
});
afterAll(() => rack.stop());

const server = () => {
  const [first] = rack.servers;
  if (!first) throw new Error('an empty rack');
  return first;
};

async function redfishtool(auth: 'Basic' | 'Session', ...command: string[]): Promise<string> {
  const target = ['-r', new URL(server().bmcUrl).host, '-S', 'Always', '-A', auth];
  const { stdout } = await run('redfishtool', [
    ...target,
    '-u',
    rack.username,
    '-p',
    rack.password,
    ...command,
  ]);
  return stdout;
}

const sushyScript = `
import json, sys, time, sushy
url, user, password, ca, kind = sys.argv[1:6]
auth = sushy.auth.SessionAuth(user, password) if kind == 'session' else sushy.auth.BasicAuth(user, password)
root = sushy.Sushy(url, auth=auth, verify=ca)
def system():
    return root.get_system('/redfish/v1/Systems/1')
def until(state):
    for _ in range(200):
        if system().power_state == state:
            return state.value
        time.sleep(0.05)
    raise SystemExit('never ' + state.value)
seen = {'start': system().power_state.value, 'allowed': sorted(r.value for r in system().get_allowed_reset_system_values())}
system().reset_system(sushy.RESET_FORCE_OFF)
seen['off'] = until(sushy.PowerState.OFF)
system().reset_system(sushy.RESET_ON)
seen['on'] = until(sushy.PowerState.ON)
seen['chassis'] = [c.identity for c in root.get_chassis_collection().get_members()]
seen['managers'] = [m.identity for m in root.get_manager_collection().get_members()]
try:
    root.get_system('/redfish/v1/Systems/nope')
except sushy.exceptions.ResourceNotFoundError as error:
    seen['missing'] = error.code
if kind == 'session':
    auth.close()
print(json.dumps(seen))
`;

describe('independent Redfish clients', () => {
  withRedfishtool.each(['Basic', 'Session'] as const)(
    'redfishtool reads and switches (%s; needs the Debian package redfishtool)',
    async (auth) => {
      await rack.waitFor('server-1', 'serving');
      expect(JSON.parse(await redfishtool(auth, 'Systems', '-1'))).toMatchObject({ PowerState: 'On' });
      await redfishtool(auth, 'Systems', '-1', 'reset', 'GracefulShutdown');
      await rack.waitFor('server-1', 'off');
      expect(JSON.parse(await redfishtool(auth, 'Systems', '-1'))).toMatchObject({ PowerState: 'Off' });
      await redfishtool(auth, 'Systems', '-1', 'reset', 'On');
      await rack.waitFor('server-1', 'serving');
      const power = JSON.parse(await redfishtool(auth, 'Chassis', '-1', 'Power'));
      expect(power.PowerControl[0].PowerConsumedWatts).toBe(140);
      await expect(redfishtool(auth, 'Systems', '-1', 'reset', 'Nmi')).rejects.toMatchObject({
        code: expect.any(Number),
      });
    },
  );

  withSushy.each(['basic', 'session'])(
    'sushy reads and switches, and trusts the certificate (%s; needs the Debian package python3-sushy)',
    async (kind) => {
      await rack.waitFor('server-1', 'serving');
      const args = [server().bmcUrl, rack.username, rack.password, rack.caFile, kind];
      const { stdout } = await run(python, ['-c', sushyScript, ...args], { env });
      expect(JSON.parse(stdout)).toEqual({
        start: 'On',
        allowed: ['ForceOff', 'ForceRestart', 'GracefulRestart', 'GracefulShutdown', 'On', 'PushPowerButton'],
        off: 'Off',
        on: 'On',
        chassis: ['1'],
        managers: ['BMC'],
        missing: 'Base.1.18.1.ResourceMissingAtURI',
      });
    },
  );
});
