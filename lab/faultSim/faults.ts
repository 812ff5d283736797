import type { FleetConfig } from '../../libs/events/mod.ts';
import type { BmcMood, Machine } from './machine.ts';
import { goodLink } from './simBus.ts';
import type { Unit, World } from './world.ts';

/** One thing that goes wrong: it begins at once and gives back what mends it. */
interface Fault {
  readonly name: string;
  readonly begin: (world: World) => () => void;
  /** How long it may last, in ms. */
  readonly lastsMs: readonly [number, number];
}

export interface FaultPlan {
  /** Names of what went wrong, oldest first. */
  readonly log: readonly string[];
  /** How many times the usual load there is now. */
  readonly crowd: () => number;
  /** Mends all that is still broken. */
  mendAll(): void;
}

const minFaults = 4;
const maxFaults = 14;
/** Facts that announce a deed, and how often one of them is the worst moment. */
const deeds: ReadonlySet<string> = new Set([
  'WakeRequested',
  'WakeAttempted',
  'SleepRequested',
  'SleepAttempted',
  'ServerDrainStarted',
  'ServerDrained',
  'ServerPoweredOff',
  'ServerBecameHealthy',
]);
const worstMomentShare = 0.04;
/** The fleet starts up before anything goes wrong. */
const firstFaultMs = 20_000;

/** Draws the faults of a run and lets them happen at their times. */
export function planFaults(world: World): FaultPlan {
  const { scheduler, random, scenario } = world;
  const log: string[] = [];
  const underWay = new Set<() => void>();
  const crowd = { times: 1 };
  const kinds = faultKinds(crowd);
  const perRun = minFaults + random() * (maxFaults - minFaults);
  const count = Math.round((perRun * scenario.faultyForMs) / 300_000);
  const happen = (draw: Draw | undefined) => {
    const atMs = scheduler.nowMs() - scenario.startMs;
    const fault = atMs < scenario.faultyForMs ? draw?.(random, world) : undefined;
    if (!fault) return;
    const [shortestMs, longestMs] = fault.lastsMs;
    const lastsMs = shortestMs + random() ** 2 * (longestMs - shortestMs);
    log.push(`${Math.round(atMs / 1_000)} s: ${fault.name} for ${Math.round(lastsMs / 1_000)} s`);
    const heal = fault.begin(world);
    const once = () => {
      if (underWay.delete(once)) heal();
    };
    underWay.add(once);
    scheduler.after(Math.min(lastsMs, scenario.faultyForMs - atMs), once);
  };
  for (let index = 0; index < count; index += 1) {
    const atMs = firstFaultMs + random() * (scenario.faultyForMs - firstFaultMs);
    scheduler.after(atMs, () => happen(oneOf(random, kinds)));
  }
  // The worst moment: something is about to happen to a server, and whoever does it is not told.
  world.checker.onFact = ({ type }) => {
    if (!deeds.has(type) || random() >= worstMomentShare) return;
    scheduler.after(random() * 40, () => happen(oneOf(random, worst)));
  };
  return {
    log,
    crowd: () => crowd.times,
    mendAll() {
      for (const heal of [...underWay]) heal();
      for (const machine of world.machines.values()) if (machine.life === 'dead') machine.pressButton();
    },
  };
}

type Draw = (random: () => number, world: World) => Fault | undefined;

function oneOf<T>(random: () => number, values: readonly T[]): T | undefined {
  return values[Math.floor(random() * values.length)];
}

function faultKinds(crowd: { times: number }): Draw[] {
  return [
    ...Array.from({ length: 4 }, () => crash),
    rollingRestart,
    ...Array.from({ length: 2 }, () => stopped),
    ...Array.from({ length: 2 }, () => partition),
    slowLink,
    slowLink,
    skew,
    skew,
    busAway,
    busAway,
    everythingCrashes,
    ...Array.from({ length: 4 }, () => bmcMood),
    lostWakes,
    lostWakes,
    slowBoot,
    ...Array.from({ length: 4 }, () => machineFails),
    ignoredShutdown,
    button,
    proberCut,
    ...Array.from({ length: 3 }, () => operator),
    configChange,
    configChange,
    () => ({
      name: 'flash crowd',
      lastsMs: [15_000, 120_000],
      begin: () => {
        crowd.times = 4;
        return () => {
          crowd.times = 1;
        };
      },
    }),
    () => ({
      name: 'nobody comes',
      lastsMs: [60_000, 200_000],
      begin: () => {
        crowd.times = 0;
        return () => {
          crowd.times = 1;
        };
      },
    }),
  ];
}

/** Marks a unit as acted on, so that the checker asks less of it. */
function disturb(world: World, units: readonly Unit[]): () => void {
  const mark = (by: number) => {
    for (const unit of units) {
      unit.faults += by;
      unit.disturbedAtMs = world.scheduler.nowMs();
    }
  };
  mark(1);
  return () => mark(-1);
}

function onUnit(
  name: string,
  lastsMs: readonly [number, number],
  begin: (world: World, unit: Unit) => () => void,
): Draw {
  return (random, { units }) => {
    const unit = oneOf(random, units);
    if (!unit) return undefined;
    return {
      name: `${name} ${unit.name}`,
      lastsMs,
      begin: (world) => {
        const calm = disturb(world, [unit]);
        const heal = begin(world, unit);
        return () => {
          heal();
          calm();
        };
      },
    };
  };
}

const crash = onUnit('crash of', [300, 60_000], (world, unit) => {
  world.crash(unit);
  return () => world.start(unit);
});

const rollingRestart = onUnit('restart of', [500, 20_000], (world, unit) => {
  const ended = world.stop(unit);
  return () => {
    void ended.then(() => {
      // Whoever does not end in time is killed.
      if (!unit.running) world.crash(unit);
      world.start(unit);
    });
    world.scheduler.after(15_000, () => {
      if (!unit.running) world.crash(unit);
      world.start(unit);
    });
  };
});

const stopped = onUnit('SIGSTOP of', [500, 70_000], (_world, unit) => {
  const { process } = unit;
  process?.stop();
  return () => process?.goOn();
});

const partition = onUnit('bus lost to', [2_000, 120_000], (world, unit) => {
  world.store.setReachable(false, unit.name);
  return () => world.store.setReachable(true, unit.name);
});

const slowLink: Draw = (random, world) => {
  const delayMs = { min: 10, max: 200 + random() * 3_000 };
  const lateAckShare = random() * 0.5;
  return onUnit('slow bus to', [10_000, 90_000], (_world, { link }) => {
    Object.assign(link, { delayMs, lateAckShare, lateAckMs: 8_000 });
    return () => Object.assign(link, goodLink());
  })(random, world);
};

const skew: Draw = (random, world) => {
  const isSmall = random() < 0.5;
  const skewMs = (random() < 0.5 ? -1 : 1) * (isSmall ? 3_000 * random() : 1_200_000 * random());
  return onUnit(`clock ${Math.round(skewMs / 1_000)} s wrong of`, [5_000, 120_000], ({ checker }, unit) => {
    if (unit.kind === 'power') checker.metersBroken = true;
    checker.maxSkewMs = Math.max(checker.maxSkewMs, Math.abs(skewMs));
    const set = (ms: number) => {
      unit.skewMs = ms;
      unit.process?.skew(ms);
    };
    set(skewMs);
    return () => set(0);
  })(random, world);
};

const busAway: Draw = () => ({
  name: 'bus away',
  lastsMs: [2_000, 180_000],
  begin: (world) => {
    const calm = disturb(world, world.units);
    world.store.setReachable(false);
    return () => {
      world.store.setReachable(true);
      calm();
    };
  },
});

const everythingCrashes: Draw = () => ({
  name: 'everything crashes',
  lastsMs: [500, 30_000],
  begin: (world) => {
    const calm = disturb(world, world.units);
    for (const unit of world.units) world.crash(unit);
    return () => {
      for (const unit of world.units) world.start(unit);
      calm();
    };
  },
});

function onMachine(
  name: string,
  lastsMs: readonly [number, number],
  begin: (machine: Machine, world: World) => () => void,
): Draw {
  return (random, { machines }) => {
    const machine = oneOf(random, [...machines.values()]);
    return (
      machine && {
        name: `${name} ${machine.name}`,
        lastsMs,
        begin: (world) => begin(machine, world),
      }
    );
  };
}

const moods: readonly BmcMood[] = ['silent', 'refusing', 'deaf', 'lying'];

const bmcMood: Draw = (random, world) => {
  const mood = oneOf(random, moods) ?? 'silent';
  return onMachine(`${mood} BMC of`, [5_000, 150_000], (machine) => {
    machine.mood = mood;
    return () => {
      machine.mood = 'well';
    };
  })(random, world);
};

const lostWakes = onMachine('wakes lost to', [20_000, 150_000], (machine) => {
  machine.lostWakeShare = 0.8;
  return () => {
    machine.lostWakeShare = 0;
  };
});

const slowBoot = onMachine('slow boots of', [30_000, 200_000], (machine) => {
  const { bootMs } = machine;
  machine.bootMs = 40_000;
  return () => {
    machine.bootMs = bootMs;
  };
});

const ignoredShutdown = onMachine('shutdowns ignored by', [30_000, 150_000], (machine) => {
  machine.ignoresShutdown = true;
  return () => {
    machine.ignoresShutdown = false;
  };
});

const machineFails: Draw = (random, world) => {
  const how = oneOf(random, ['powerLoss', 'panic', 'hang', 'reboot'] as const) ?? 'reboot';
  return onMachine(`${how} of`, [0, 1], (machine) => {
    machine.fail(how);
    return () => {};
  })(random, world);
};

const button = onMachine('button pressed on', [0, 1], (machine) => {
  machine.pressButton();
  return () => {};
});

const proberCut = onMachine('prober cut from', [5_000, 60_000], ({ name }, world) => {
  world.cutFromProber.add(name);
  return () => world.cutFromProber.delete(name);
});

/** An operator who does the wrong thing at the wrong moment, and takes it back. */
const operator: Draw = (random, { machines, scheduler }) => {
  const server = oneOf(random, [...machines.keys()]) ?? '';
  const about = { reason: 'sim', by: 'sim' };
  const untilMs = scheduler.nowMs() + 5_000 + random() * 60_000;
  const nothing = undefined;
  const pairs = [
    [
      { type: 'ServerCordoned', data: { server, ...about } },
      { type: 'ServerUncordoned', data: { server, ...about } },
    ],
    [
      { type: 'TargetPinned', data: { pool: 'web', servers: 1 + Math.floor(random() * 3), ...about } },
      { type: 'TargetUnpinned', data: { pool: 'web', ...about } },
    ],
    [
      { type: 'PlannerPaused', data: { pool: 'web', ...about } },
      { type: 'PlannerResumed', data: { pool: 'web', ...about } },
    ],
    [{ type: 'ServerCordoned', data: { server, untilMs, ...about } }, nothing],
    [{ type: 'WakeOrdered', data: { server, untilMs, ...about } }, nothing],
    [{ type: 'SleepOrdered', data: { server, untilMs, ...about } }, nothing],
    [{ type: 'DrillRequested', data: { server, untilMs, ...about } }, nothing],
  ] as const;
  const pair = oneOf(random, pairs);
  return (
    pair && {
      name: `operator: ${pair[0].type}`,
      lastsMs: [2_000, 100_000],
      begin: (world) => {
        world.publish(pair[0]);
        return () => {
          if (pair[1]) world.publish(pair[1]);
        };
      },
    }
  );
};

/** A new configuration, and the old one again. */
const configChange: Draw = (random, { scenario: { config } }) => {
  const pool = config.pools.web;
  const names = Object.keys(config.servers);
  if (!pool) return undefined;
  const without = oneOf(random, names);
  const { [without ?? '']: _gone, ...others } = config.servers;
  const changes: readonly FleetConfig[] = [
    { ...config, pools: { web: { ...pool, minServers: Math.floor(random() * (names.length + 1)) } } },
    { ...config, pools: { web: { ...pool, spareServers: 1, failAwake: 'floor', drainTimeoutMs: 3_000 } } },
    { ...config, bounds: { ...config.bounds, maxConcurrentWakes: 1, maxActionsPerMinute: 3 } },
    { ...config, servers: others },
  ];
  const index = Math.floor(random() * changes.length);
  const changed = changes[index] ?? config;
  const configured = (next: FleetConfig) =>
    ({ type: 'FleetConfigured', data: { config: next, origin: 'sim' } }) as const;
  return {
    name: index === 3 ? `config without ${without}` : `config ${index}`,
    lastsMs: [3_000, 120_000],
    begin: (world) => {
      // Nobody reads the meter of a server that is not configured.
      if (index === 3) world.checker.metersBroken = true;
      world.publish(configured(changed));
      return () => world.publish(configured(config));
    },
  };
};

const worst: readonly Draw[] = [
  crash,
  stopped,
  stopped,
  partition,
  operator,
  operator,
  configChange,
  machineFails,
];
