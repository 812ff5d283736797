import { stringify } from 'yaml';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { formatProblem, parseConfig } from '../../libs/runtime/config.ts';
import { parseTrialOptions, type TrialOptions } from './options.ts';
import { readyTimeoutOf } from './ownMachines.ts';
import { planLines, planOf } from './ownPlan.ts';
import { ownPoolOf } from './ownPool.ts';

function optionsOf(...args: readonly string[]): TrialOptions {
  const options = parseTrialOptions(['-c', 'nemuri.yaml', ...args]);
  if (options === 'help') throw new Error('no options');
  return options;
}

const poolName = 'web';
const redfish = (server: string) => [
  { driver: 'redfish', url: `https://${server}-bmc.example`, username: 'u', password: 'env:BMC' },
];

/** As a user writes it. */
function configOf({
  power = redfish,
  pool = {},
}: {
  readonly power?: (server: string) => readonly object[];
  readonly pool?: object;
} = {}): FleetConfig {
  const names = ['s1', 's2', 's3'];
  const energy = { offWatts: 5, idleWatts: 100, busyWatts: 200, setupWatts: 200, setupTimeMs: 120_000 };
  const servers = names.map((name) => [
    name,
    { pool: 'web', url: `http://${name}.example`, capacityRps: 100, energy, power: power(name) },
  ]);
  const text = stringify({
    version: 1,
    pools: { web: pool, other: { minServers: 0, routes: [{ host: 'other.example' }] } },
    servers: Object.fromEntries(servers),
  });
  const parsed = parseConfig(text, { file: 'nemuri.yaml' });
  if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join('\n'));
  return parsed.config;
}

function planned(config: FleetConfig, ...args: readonly string[]) {
  const options = optionsOf('--pool', poolName, ...args);
  if (!options.own) throw new Error('not on own machines');
  const pool = ownPoolOf(config, options.own, options.speed);
  return { pool, plan: planOf(pool, options, 3_600) };
}

test('one pool alone is run, and what needs production is left out', () => {
  const { pool } = planned(configOf(), '--speed', '60');
  expect(Object.keys(pool.config.pools)).toEqual([poolName]);
  expect(pool.config.pools[poolName]?.planner.dayMs).toBe(86_400_000 / 60);
  const power = (server: string) => [{ driver: 'agent' }, ...redfish(server)];
  const { pool: mixed } = planned(configOf({ power }));
  expect(Object.values(mixed.config.servers)[0]?.power.map(({ driver }) => driver)).toEqual(['redfish']);
  // The secret's name, and no secret, is written down.
  expect(pool.yaml).toContain('env:BMC');
});

test('speed 1 is the default, and no time of the configuration is touched by it', () => {
  const { plan, pool } = planned(configOf());
  expect(plan).toMatchObject({ speed: 1, armSeconds: 3_600, totalSeconds: 10_800 });
  expect(pool.config.pools[poolName]?.planner.dayMs).toBe(86_400_000);
  expect(planLines(plan).join('\n')).toContain('each 60 min at --speed 1, together 3 h');
});

test('a set-up that is long in the series is warned of, with the speed that is fair', () => {
  const config = configOf();
  const [first] = Object.values(config.servers);
  const setupSeconds = (first?.energy.setupTimeMs ?? 0) / 1_000;
  const { plan } = planned(config, '--speed', '100');
  const fitting = Math.max(1, Math.floor(600 / setupSeconds));
  expect(plan.warnings.join()).toContain(`at most --speed ${fitting} is fair`);
  expect(planned(config).plan.warnings.join()).not.toContain('fair');
});

test('without any meter it goes on, and says what the energy will be', () => {
  const wol = (server: string) => [
    { driver: 'wol', macs: [`02:00:00:00:00:0${server.slice(1)}`] },
    {
      driver: 'ssh',
      host: `${server}.example`,
      username: 'root',
      keyFile: '/k',
      knownHostsFile: '/h',
      sleepCommand: 'poweroff',
    },
  ];
  expect(planned(configOf({ power: wol })).plan.warnings.join()).toContain('no server has a meter');
  expect(planned(configOf()).plan.warnings).toEqual([]);
});

test.each<[string, FleetConfig, string[], string]>([
  [
    'no such pool',
    configOf(),
    ['--pool', 'shop'],
    `--pool must be one of the pools of the configuration: ${poolName}, other (got "shop")`,
  ],
  [
    'an empty pool',
    configOf(),
    ['--pool', 'other'],
    'pools.other must have at least one server to be tried (got 0)',
  ],
  ['no way to sleep', configOf({ power: () => [] }), [], 'must have a method that sleeps and one that wakes'],
  [
    'a floor of all',
    configOf({ pool: { minServers: 3 } }),
    [],
    `pools.${poolName}.minServers must be below the number of its servers, 3, for one to sleep (got 3)`,
  ],
  [
    'a place of another',
    configOf({ pool: { routes: [{ host: 'a.example', pathPrefix: '/x' }] } }),
    ['--url', '/y'],
    `--url must be a place of pools.${poolName}.routes: a.example/x (got "http://a.example/y")`,
  ],
  ['no URL', configOf(), ['--url', 'ftp:x'], '--url must be a path, or http://host/path (got "ftp:x")'],
])('%s is refused by key, rule and value', (_name, config, args, message) => {
  expect(() => planned(config, ...args)).toThrow(message);
});

test('the request goes where the first route of the pool is, or where it is told', () => {
  const config = configOf({ pool: { routes: [{ host: 'a.example', pathPrefix: '/x' }] } });
  expect(planned(config).plan.url).toBe('http://a.example/x');
  expect(planned(config, '--url', '/x/page?q=1').plan.url).toBe('http://a.example/x/page?q=1');
});

test('waking is given the time of the whole ladder, so many machines at once as may boot', () => {
  const { config } = planned(configOf()).pool;
  const [first] = Object.values(config.servers);
  expect(readyTimeoutOf(config)).toBe((first?.wakeTimeoutMs ?? 0) + 60_000);
  const one = { ...config, bounds: { ...config.bounds, maxConcurrentWakes: 1 } };
  expect(readyTimeoutOf(one)).toBe(3 * (first?.wakeTimeoutMs ?? 0) + 60_000);
});

test.each([
  [['-c', 'x', '--servers', '4'], '--servers must be given without -c'],
  [['-c', 'x', '--faults'], '--faults must be given without -c'],
  [['--yes'], '--yes must be given with -c'],
])('%j is refused', (args, message) => {
  expect(() => parseTrialOptions(args)).toThrow(message);
});
