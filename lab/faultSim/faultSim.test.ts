import type { Bus } from '../../libs/bus/mod.ts';
import type { RecordedEvent } from '../../libs/events/mod.ts';
import type { ServiceContext } from '../../libs/runtime/service.ts';
import { createLately } from './lately.ts';
import { parseSimOptions } from './options.ts';
import { type RunResult, runSeed } from './run.ts';
import { scenarioOf } from './scenario.ts';
import { createScheduler } from './scheduler.ts';
import { type Controllers, production } from './services.ts';

const quickHours = 0.1;
/** A run is seconds of work, and the machine may be busy. */
jest.setTimeout(90_000);

test('the scheduler runs what is due in order, and what that sets going before the next', async () => {
  const seen: string[] = [];
  const scheduler = createScheduler(1_000);
  scheduler.after(20, () => seen.push(`late ${scheduler.nowMs()}`));
  const cancel = scheduler.after(5, () => seen.push('never'));
  scheduler.after(10, async () => {
    await Promise.resolve();
    seen.push(`first ${scheduler.nowMs()}`);
    scheduler.after(0, () => seen.push('its child'));
  });
  scheduler.after(10, () => seen.push('second'));
  cancel();
  await scheduler.runUntil(2_000, () => true);
  expect(seen).toEqual(['first 1010', 'second', 'its child', 'late 1020']);
  expect(scheduler.nowMs()).toBe(2_000);
});

test('what was so lately is all that was in force within the grace, and nothing before', () => {
  let nowMs = 0;
  const floors = createLately<number>(() => nowMs, 5_000);
  floors.note(1);
  nowMs = 1_000;
  floors.note(2);
  nowMs = 20_000;
  floors.note(3);
  expect(floors.values()).toEqual([2, 3]);
  nowMs = 25_000;
  expect(floors.values()).toEqual([3]);
});

test('a seed is a run: twice the same, and another seed another', async () => {
  const hours = 0.03;
  const [once, again, other] = [
    await runSeed({ seed: 7, hours }),
    await runSeed({ seed: 7, hours }),
    await runSeed({ seed: 8, hours }),
  ];
  expect(once.violation).toBeUndefined();
  expect(again).toEqual(once);
  expect(other.hash).not.toBe(once.hash);
});

/** The last ones found defects in the services, which CHANGELOG names. */
test.each([11, 12, 955, 1154, 1818])('seed %i holds', async (seed) => {
  const { violation } = await runSeed({ seed });
  expect(violation).toBeUndefined();
});

/** What once broke a rule, and why. */
test.each([
  [548, 'an ejection was counted by the clock of a proxy that was nine minutes ahead'],
  [
    1574,
    'a hung server that was not wanted for a moment was only ever switched off by its agent, dead with it',
  ],
  [5037, 'a proxy whose clock was set back said nothing of its load for twenty minutes'],
  [1670, 'the checker took an agent that was being started for one that was left dead'],
  [672, 'the checker counted samples of an hour that was closed when a proxy with a slow clock sent them'],
])('seed %i holds, where %s', async (seed) => {
  const { violation } = await runSeed({ seed });
  expect(violation).toBeUndefined();
});

test.each(['planner', 'bus', 'all'] as const)(
  '%s away: it fails awake, and returns in peace',
  async (away) => {
    const { violation, endings } = await runSeed({ seed: 5, away, hours: quickHours });
    expect(violation).toBeUndefined();
    expect(endings.served).toBeGreaterThan(100);
  },
);

type Seen = (event: RecordedEvent) => RecordedEvent;

/** The service as it is, but for what it gets to see of the history. */
function deceived(context: ServiceContext, seen: Seen): ServiceContext {
  const bus: Bus = Object.create(context.bus, {
    subscribe: {
      value: (options: Parameters<Bus['subscribe']>[0]) =>
        context.bus.subscribe({ ...options, onEvent: (event) => options.onEvent(seen(event)) }),
    },
  });
  return { ...context, bus };
}

/** A drain that began is taken for one that ended: the check that rule 3 rests on is skipped. */
const skipsDrains: Controllers = {
  ...production,
  power: (context, makeDriver) =>
    production.power(
      deceived(context, (event) =>
        event.type === 'ServerDrainStarted'
          ? ({ ...event, type: 'ServerDrained', data: { ...event.data, elapsedMs: 0 } } as RecordedEvent)
          : event,
      ),
      makeDriver,
    ),
};

/** Whatever is asked answers. */
const believesAll: Controllers = {
  ...production,
  health: (context, settings) =>
    production.health(context, settings, () => async () => ({
      ok: true,
      answered: true,
      latencyMs: 1,
      detail: 'believed',
    })),
};

/** A power-off is sent once more, long after its fact. */
const repeatsCommands: Controllers = {
  ...production,
  power: (context, makeDriver) => {
    if (!makeDriver) throw new Error('no drivers');
    return production.power(context, (server, method) => {
      const driver = makeDriver(server, method);
      return {
        ...driver,
        async sleep(how, signal) {
          await driver.sleep(how, signal);
          const { signal: nobody } = new AbortController();
          context.clock.after(10_000, () => void driver.sleep(how, nobody).catch(() => undefined));
        },
      };
    });
  },
};

async function caught(controllers: Controllers, seeds: number): Promise<RunResult | undefined> {
  for (let seed = 1; seed <= seeds; seed += 1) {
    const result = await runSeed({ seed, controllers });
    if (result.violation !== undefined) return result;
  }
  return undefined;
}

test('the checker catches a power service that skips the drain', async () => {
  expect((await caught(skipsDrains, 20))?.violation).toMatch(
    /switched off with a request of proxy-\d in flight/,
  );
});

test('the checker catches a health service that believes all', async () => {
  expect((await caught(believesAll, 10))?.violation).toMatch(/is called healthy|sends a request to/);
});

test('the checker catches a command that no fact covers any more', async () => {
  expect((await caught(repeatsCommands, 20))?.violation).toMatch(
    /switches s\d off \d+.* ms after the last SleepAttempted/,
  );
});

test('a scenario is drawn within its bounds, and options that make no sense are refused', () => {
  const { config, minServers } = scenarioOf(1, () => 0.999, 'none');
  expect(Object.keys(config.servers).length).toBeGreaterThanOrEqual(minServers);
  expect(parseSimOptions(['--seed', '9'], 2)).toMatchObject({ seed: 9, seeds: 1, threads: 2 });
  expect(() => parseSimOptions(['--seeds', 'many'], 2)).toThrow('--seeds must be an integer');
  expect(() => parseSimOptions(['--hours', '0'], 2)).toThrow('--hours must be above 0');
});
