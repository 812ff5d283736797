import type { ArmName, TrialOptions } from './options.ts';
import type { OwnPool, OwnServer } from './ownPool.ts';

/** What a trial on own machines will do, before anything is done. */
export interface OwnPlan {
  readonly config: string;
  readonly pool: string;
  readonly url: string;
  readonly arms: readonly ArmName[];
  readonly seeds: readonly number[];
  readonly speed: number;
  readonly armSeconds: number;
  readonly totalSeconds: number;
  readonly peakRps: number;
  readonly capacityRps: number;
  readonly minServers: number;
  readonly servers: Readonly<Record<string, OwnServer & { readonly sleeps: boolean }>>;
  readonly warnings: readonly string[];
}

/** A wake that is this long of the series no longer meets the load that it was for. */
const longSetupSeriesSeconds = 600;

/** @param seconds of the series. @throws Error where there is nothing to try, naming key, rule and value. */
export function planOf(pool: OwnPool, options: TrialOptions, seconds: number): OwnPlan {
  const { parameters, config } = pool;
  const { speed, seed, repeat, arms } = options;
  const names = Object.keys(parameters.servers);
  const servers = Object.fromEntries(
    Object.entries(parameters.servers).map(([name, server]) => [
      name,
      { ...server, sleeps: canSleep(server) },
    ]),
  );
  const sleepers = Object.values(servers).filter(({ sleeps }) => sleeps).length;
  const { minServers, pool: name } = parameters;
  if (sleepers === 0) {
    throw new Error(
      `servers.NAME.power must have a method that sleeps and one that wakes for at least one server of pools.${name} (got none; an agent does not count, since it does not hear the bus of a trial)`,
    );
  }
  if (minServers >= names.length) {
    throw new Error(
      `pools.${name}.minServers must be below the number of its servers, ${names.length}, for one to sleep (got ${minServers})`,
    );
  }
  const capacityRps = Object.values(servers).reduce((sum, server) => sum + server.capacityRps, 0);
  const armSeconds = Math.ceil(seconds / speed);
  const seeds = Array.from({ length: repeat }, (_none, turn) => seed + turn);
  return {
    config: options.own?.config ?? '',
    pool: name,
    url: parameters.url,
    arms,
    seeds,
    speed,
    armSeconds,
    totalSeconds: armSeconds * arms.length * repeat,
    peakRps: capacityRps * options.peakShare,
    capacityRps,
    minServers,
    servers,
    warnings: [
      ...meterWarnings(parameters.servers),
      ...setupWarnings(parameters.servers, speed),
      ...(speed !== 1 && (config.pools[name]?.planner.schedules.length ?? 0) > 0
        ? [`pools.${name}.planner.schedules go by the clock, not by the series`]
        : []),
      ...(arms.includes('alwaysOn') ? [] : ['without the arm alwaysOn there is nothing to save from']),
    ],
  };
}

function canSleep({ sleepsBy, wakesBy }: OwnServer): boolean {
  return sleepsBy.length > 0 && wakesBy.length > 0;
}

function meterWarnings(servers: OwnPool['parameters']['servers']): string[] {
  const without = Object.entries(servers).flatMap(([name, { metersBy }]) =>
    metersBy.length === 0 ? [name] : [],
  );
  if (without.length === 0) return [];
  if (without.length === Object.keys(servers).length)
    return [
      'no server has a meter: every energy, and so the saving, will be the energy model’s, not measured',
    ];
  return [`without a meter, so that their energy is modelled: ${without.join(', ')}`];
}

function setupWarnings(servers: OwnPool['parameters']['servers'], speed: number): string[] {
  const longest = Math.max(...Object.values(servers).map(({ energy }) => energy.setupTimeMs)) / 1_000;
  if (speed <= 1 || longest * speed <= longSetupSeriesSeconds) return [];
  const fitting = Math.max(1, Math.floor(longSetupSeriesSeconds / longest));
  return [
    `a set-up of ${longest} s (energy.setupTimeMs) is ${lengthOf(longest * speed)} of the series at --speed ${speed}: ` +
      `the load will have moved on before a server is there; at most --speed ${fitting} is fair`,
  ];
}

/** The plan for people. */
export function planLines(plan: OwnPlan): string[] {
  const { servers, arms, seeds, url } = plan;
  const sleeping = Object.entries(servers).filter(([, { sleeps }]) => sleeps);
  const staying = Object.keys(servers).filter((name) => !servers[name]?.sleeps);
  const each = ([name, { capacityRps, wakesBy, sleepsBy, metersBy }]: (typeof sleeping)[number]) =>
    `  ${name}: ${capacityRps} requests/s; sleeps by ${sleepsBy.join(', ')}; wakes by ${wakesBy.join(', ')}; ` +
    (metersBy.length > 0 ? `metered by ${metersBy.join(', ')}` : 'no meter');
  return [
    `A trial on your own machines: pool ${plan.pool} of ${plan.config}, ${Object.keys(servers).length} servers, ${plan.capacityRps} requests/s`,
    `First every server is woken. Then, one after the other: ${arms.join(', ')}${seeds.length > 1 ? `, for seeds ${seeds.join(', ')}` : ''}`,
    `  each ${lengthOf(plan.armSeconds)} at --speed ${plan.speed}, together ${lengthOf(plan.totalSeconds)}, and what waking takes in between`,
    `  each with up to about ${Math.round(plan.peakRps)} requests/s: GET ${url}, through a proxy on this machine`,
    `Switched off and on again, as load and configuration will have it (at least ${plan.minServers} stay on):`,
    ...sleeping.map(each),
    ...(staying.length > 0
      ? [`Never switched off, for want of a method that sleeps or one that wakes: ${staying.join(', ')}`]
      : []),
    'At the end, and after Ctrl-C (once), every server is woken again; that may take its wakeTimeoutMs.',
    'Nemuri must not run on these machines meanwhile, here or elsewhere; nor may anything else need them:',
    'whoever uses a server past the trial’s proxy is cut off when it sleeps. A server that is cordoned in production',
    'is not known to be so here: take it out of the file.',
    ...plan.warnings.map((warning) => `WARNING ${warning}`),
  ];
}

/** `90 s`, `12 min`, `3.5 h`. */
function lengthOf(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Number((seconds / 3_600).toFixed(1))} h`;
}
