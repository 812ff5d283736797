import { isDeepStrictEqual } from 'node:util';
import {
  accountedHours,
  addMeterReading,
  type EnergyAccount,
  type Fleet,
  floorOf,
  foldInto,
  hourMs,
  initialFleet,
  openAccount,
  type ServerState,
  takesRequests,
} from '../../libs/domain/mod.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

/** A wake, a sleep or a quarantine that began so shortly before the end may be under way. */
const underWayMs = 45_000;
/** An agent whose machine has just come up is about to be started by its init system, and then reads the history. */
const startingMs = 5_000;
/** What was stored so long ago has reached everybody. */
const deliveredMs = 2_000;

/** What does not hold although everything was mended long ago; undefined: all is well. */
export function troubleAtRest(world: World): string | undefined {
  return (
    troubleOfUnits(world) ?? troubleOfServers(world) ?? troubleOfCapacity(world) ?? troubleOfLedger(world)
  );
}

function troubleOfUnits(world: World): string | undefined {
  const folds = new Map<number, Fleet>();
  for (const unit of world.units) {
    if (unit.held) continue;
    if (!unit.running) {
      if (world.scheduler.nowMs() - unit.disturbedAtMs < startingMs) continue;
      return `${unit.name} does not run`;
    }
    const own = unit.running.fleet();
    const lag = world.store.read('FLEET', own.sequence + 1);
    if (lag && world.scheduler.nowMs() - lag.storedMs > deliveredMs)
      return `${unit.name} stands at ${own.sequence} of ${world.checker.fleet.sequence} events`;
    const fold = folds.get(own.sequence) ?? foldTo(world, own.sequence);
    folds.set(own.sequence, fold);
    if (!isDeepStrictEqual(asJson(own), asJson(fold)))
      return `the fleet of ${unit.name} is not the fold of the stream: ${difference(own, fold)}`;
  }
  return undefined;
}

function foldTo({ store }: World, sequence: number): Fleet {
  const fleet = initialFleet();
  for (let at = 1; at <= sequence; at += 1) {
    const decoded = store.read('FLEET', at)?.decoded;
    if (decoded?.ok) foldInto(fleet, decoded.event);
  }
  return fleet;
}

/** As a snapshot keeps it. */
function asJson(fleet: Fleet): unknown {
  return JSON.parse(JSON.stringify(fleet));
}

function difference(own: Fleet, fold: Fleet): string {
  for (const name of Object.keys({ ...own.servers, ...fold.servers })) {
    const [a, b] = [JSON.stringify(own.servers[name]), JSON.stringify(fold.servers[name])];
    if (a !== b) return `${a} is not ${b}`;
  }
  return 'not in a server';
}

function troubleOfServers(world: World): string | undefined {
  const nowMs = world.scheduler.nowMs();
  for (const state of Object.values(world.checker.fleet.servers)) {
    const machine = world.machines.get(state.name);
    if (!machine) continue;
    const isFresh = nowMs - Math.max(state.sinceMs, machine.sinceMs) < underWayMs;
    const trouble = isFresh ? undefined : troubleOf(state, machine);
    if (trouble)
      return `at rest ${state.name} ${trouble}, its machine is ${machine.life}: ${JSON.stringify(state)}`;
  }
  return undefined;
}

/** What is held to be true of a server against what its machine is; undefined: it is true, and at rest. */
export function troubleOf(state: ServerState, machine: Pick<Machine, 'power' | 'life'>): string | undefined {
  if (state.powerState !== machine.power) return `is held to be ${state.powerState} and is ${machine.power}`;
  // One whose wake failed is left alone until it is wanted again.
  const isLeftAlone = state.lifecycle === 'quarantined' && machine.power === 'off';
  if (state.lifecycle !== 'ready' && state.lifecycle !== 'asleep' && !isLeftAlone)
    return `is still ${state.lifecycle}`;
  if (state.lifecycle === 'asleep' && machine.life !== 'off')
    return `is held to be asleep and is ${machine.life}`;
  if (state.lifecycle === 'ready' && (state.health !== 'healthy' || machine.life !== 'serving'))
    return `is held to be ready and ${state.health}, and is ${machine.life}`;
  if (state.contradictions) return 'has contradictions';
  if (state.cordoned) return 'is cordoned';
  return undefined;
}

function troubleOfCapacity(world: World): string | undefined {
  const { fleet } = world.checker;
  const nowMs = world.scheduler.nowMs();
  const pool = fleet.pools.web;
  const decision = pool?.decision;
  if (!decision || nowMs - decision.decidedAtMs > decision.validForMs)
    return 'no decision is in force at rest';
  const ready = Object.values(fleet.servers).filter(takesRequests);
  const floor = floorOf(fleet, 'web');
  if (ready.length < floor) return `${ready.length} servers take requests at rest, floor ${floor}`;
  const missing = decision.target.filter((name) => {
    const state = fleet.servers[name];
    return !state || (!takesRequests(state) && nowMs - state.sinceMs > underWayMs);
  });
  if (missing.length > 0) return `of the target ${missing.join(', ')} do not serve at rest`;
  const parked = world.proxies().reduce((sum, proxy) => sum + proxy.parked, 0);
  return parked > 0 ? `${parked} requests are parked at rest` : undefined;
}

/** The hours that were accounted for against the same readings, added up once more without crashes and replicas. */
function troubleOfLedger(world: World): string | undefined {
  const { accounts, meters, samples, fleet } = world.checker;
  const { config } = fleet;
  if (!config) return 'not configured';
  if (world.checker.metersBroken) return undefined;
  const fullHourMs = Math.ceil(world.scenario.startMs / hourMs) * hourMs;
  if (world.scheduler.nowMs() > fullHourMs + 3 * 60_000 + config.costs.maxMeterGapMs && accounts.length === 0)
    return 'the hour that is over is not accounted for';
  let account: EnergyAccount = openAccount(0);
  for (const { data, timeMs } of meters) {
    const point = { timeMs, powerWatts: data.powerWatts, measured: data.meter === 'measured' };
    account = addMeterReading(account, data.server, point, config.costs.maxMeterGapMs);
  }
  const expected = accountedHours(account, 'web', config);
  let toMs = 0;
  for (const { data } of accounts) {
    if (data.fromMs < toMs) return `the hour from ${data.fromMs} is accounted for twice`;
    toMs = data.toMs;
    const sum = (servers: typeof data.servers) =>
      Object.values(servers).reduce((total, { energyWh }) => total + energyWh, 0);
    const should = sum(expected.find(({ fromMs }) => fromMs === data.fromMs)?.servers ?? {});
    if (Math.abs(sum(data.servers) - should) > 1e-6 * Math.max(1, should))
      return `${sum(data.servers)} Wh are accounted for from ${data.fromMs}, the meters say ${should}`;
    const ofHour = samples.filter(({ timeMs }) => timeMs > data.fromMs && timeMs <= data.toMs);
    const completed = (some: typeof samples) =>
      some.reduce((total, sample) => total + sample.data.completed, 0);
    const most = completed(ofHour);
    // A proxy whose clock is behind tells of an hour that is closed by then: nobody counts that any more.
    const lateMs = data.toMs + config.costs.maxMeterGapMs / 2;
    const least = completed(ofHour.filter(({ storedMs }) => storedMs <= lateMs));
    if (data.requests < least || data.requests > most)
      return `${data.requests} requests are accounted for from ${data.fromMs}, the samples say ${least} to ${most}`;
  }
  return undefined;
}
