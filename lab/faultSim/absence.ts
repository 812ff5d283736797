import { failAwakeServers } from '../../libs/domain/mod.ts';
import type { Away } from './scenario.ts';
import type { Kind, World } from './world.ts';

/** Before a part of the control plane goes away, the fleet has come to rest. */
const settledMs = 120_000;
/** Until then whoever has to fail awake has done so: lease, patience and wakes. */
const awakeWithinMs = 180_000;
/** After the return: so long nobody may be asked for more than one power command. */
const returnMs = 30_000;

const kindsOf: Readonly<Record<Away, readonly Kind[]>> = {
  none: [],
  planner: ['planner'],
  power: ['power'],
  health: ['health'],
  bus: [],
  all: ['planner', 'power', 'health'],
};

/** Rule 1: a part of the control plane is away for the whole faulty time, under load, and returns. */
export async function runAbsence(world: World, isWell: () => boolean): Promise<void> {
  const { scheduler, checker, scenario } = world;
  const { away, startMs, faultyForMs } = scenario;
  const goneMs = startMs + settledMs;
  const backMs = startMs + faultyForMs;
  await scheduler.runUntil(goneMs, isWell);
  const gone = world.units.filter(({ kind }) => kindsOf[away].includes(kind));
  const losesBus = away === 'bus' || away === 'all';
  for (const unit of world.units) unit.faults += 1;
  for (const unit of gone) {
    unit.held = true;
    world.crash(unit);
  }
  if (losesBus) world.store.setReachable(false);
  checker.expectService = true;
  await scheduler.runUntil(goneMs + patienceMs(world), isWell);
  checker.forbidSleep = `${away} is away`;
  await scheduler.runUntil(goneMs + awakeWithinMs, isWell);
  checkAwake(world);
  await scheduler.runUntil(backMs, isWell);
  checkAwake(world);
  checker.forbidSleep = undefined;
  if (losesBus) world.store.setReachable(true);
  for (const unit of world.units) {
    unit.faults -= 1;
    unit.disturbedAtMs = scheduler.nowMs();
  }
  for (const unit of gone) {
    unit.held = false;
    world.start(unit);
  }
  await checkReturn(world, isWell);
}

/** The longest lease that a sleep may still rest on. */
function patienceMs({ scenario: { config } }: World): number {
  const leaseMs = config.pools.web?.planner.leaseMs ?? 0;
  return Math.max(leaseMs, config.bounds.healthLeaseMs, config.bounds.busLostMs) + 10_000;
}

/** With the planner or the bus away: the floor, or all of the pool, is on. */
function checkAwake({ scenario: { away, config }, checker, machines }: World): void {
  if ((away !== 'planner' && away !== 'bus') || checker.violation !== undefined) return;
  const whole = config.pools.web?.failAwake === 'pool';
  const names = whole ? [...machines.keys()] : failAwakeServers(checker.fleet, 'web', false);
  const asleep = names.filter((name) => machines.get(name)?.life === 'off');
  if (asleep.length > 0) checker.violate(`${away} is away, and ${asleep.join(', ')} sleep`);
}

/** No stampede: what returns does not do at once all that it has missed. */
async function checkReturn({ scheduler, checker, machines }: World, isWell: () => boolean): Promise<void> {
  const sum = () => Object.values(checker.commands).reduce((total, count) => total + count, 0);
  const before = sum();
  await scheduler.runUntil(scheduler.nowMs() + returnMs, isWell);
  const commands = sum() - before;
  if (commands > machines.size)
    checker.violate(
      `${commands} power commands to ${machines.size} servers in ${returnMs} ms after the return`,
    );
}
