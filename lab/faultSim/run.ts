import { seededRandom } from '../rack/random.ts';
import { runAbsence } from './absence.ts';
import { troubleAtRest } from './atRest.ts';
import { planFaults } from './faults.ts';
import { type Away, type Scenario, scenarioOf } from './scenario.ts';
import { type Controllers, production } from './services.ts';
import type { Ending } from './simProxy.ts';
import { createWorld, type World } from './world.ts';

export interface RunOptions {
  readonly seed: number;
  readonly away?: Away;
  readonly hours?: number | undefined;
  readonly controllers?: Controllers;
}

export interface RunResult {
  readonly seed: number;
  readonly away: Away;
  /** The first rule that was broken, and when, in ms from the start; undefined: none was. */
  readonly violation: string | undefined;
  readonly atMs: number;
  /** Of everything that happened: two runs of one seed have the same. */
  readonly hash: string;
  readonly steps: number;
  readonly events: number;
  readonly faults: readonly string[];
  /** The last things that happened. */
  readonly tail: readonly string[];
  readonly endings: Readonly<Record<Ending, number>>;
  readonly commands: Readonly<Record<string, number>>;
}

/** For so long at the end every request must be served. */
const servedForMs = 60_000;

/** Runs one seed to its end, or to the first rule that is broken. */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  const { seed, away = 'none', hours, controllers = production } = options;
  const random = seededRandom(seed);
  const scenario = scenarioOf(seed, random, away, hours);
  const world = createWorld(scenario, random, controllers);
  const { scheduler, checker } = world;
  const isWell = watchSpin(world);
  checker.begin();
  world.publish({ type: 'FleetConfigured', data: { config: scenario.config, origin: 'sim' } });
  for (const unit of world.units) scheduler.after(random() * 2_000, () => world.start(unit));
  const plan = away === 'none' ? planFaults(world) : undefined;
  let load = waves(world);
  startTraffic(world, () => (plan?.crowd() ?? 1) * load());
  const healMs = scenario.startMs + scenario.faultyForMs;
  if (plan) await scheduler.runUntil(healMs, isWell);
  else await runAbsence(world, isWell);
  plan?.mendAll();
  load = () => restLoad;
  await scheduler.runUntil(healMs + scenario.restMs - servedForMs, isWell);
  checker.expectService = true;
  if (isWell()) await scheduler.runUntil(healMs + scenario.restMs, isWell);
  if (isWell()) {
    const trouble = troubleAtRest(world);
    if (trouble) checker.violate(trouble);
  }
  return {
    seed,
    away,
    violation: checker.violation,
    atMs: scheduler.nowMs() - scenario.startMs,
    hash: checker.hash(),
    steps: scheduler.steps,
    events: checker.events,
    faults: plan?.log ?? [`${away} away`],
    tail: checker.tail(),
    endings: { ...world.endings },
    commands: { ...checker.commands },
  };
}

/** Load as a share of what all servers can take together. */
const restLoad = 0.1;

function waves({ scheduler, scenario }: World): () => number {
  return () => 0.04 + 0.22 * Math.abs(Math.sin((scheduler.nowMs() - scenario.startMs) / 150_000));
}

/** Nothing in the whole world needs so many steps in a second: something wakes itself up without end. */
const maxStepsPerSecond = 5_000;

/** @returns whether the run may go on. */
function watchSpin({ scheduler, checker }: World): () => boolean {
  let sinceMs = scheduler.nowMs();
  let sinceSteps = 0;
  return () => {
    if (scheduler.nowMs() - sinceMs >= 1_000) {
      sinceMs = scheduler.nowMs();
      sinceSteps = scheduler.steps;
    } else if (scheduler.steps - sinceSteps > maxStepsPerSecond) {
      checker.violate(`more than ${maxStepsPerSecond} steps in a second: something spins`);
    }
    return checker.violation === undefined;
  };
}

/** Requests come one by one, each to a proxy that listens. */
function startTraffic(world: World, load: () => number): void {
  const { scheduler, random, scenario } = world;
  const capacityRps = capacityOf(scenario);
  const next = () => {
    const rps = load() * capacityRps;
    // Nobody comes: look again in a second.
    const gapMs = rps > 0 ? (-Math.log(1 - random()) * 1_000) / rps : 1_000;
    scheduler.after(Math.min(gapMs, 5_000), () => {
      if (rps > 0) send(world);
      next();
    });
  };
  next();
}

function capacityOf({ config }: Scenario): number {
  return Object.values(config.servers).reduce((sum, { capacityRps }) => sum + capacityRps, 0);
}

/** Most requests are short, a few outlast any drain. */
function send(world: World): void {
  const { random } = world;
  const proxies = world.proxies();
  const proxy = proxies[Math.floor(random() * proxies.length)];
  const holdMs = random() < 0.02 ? 5_000 + random() * 25_000 : 30 + random() * 250;
  if (proxy) proxy.carry(holdMs);
  else {
    world.endings.noProxy += 1;
    world.checker.onEnd('noProxy');
  }
}
