import { createHash } from 'node:crypto';
import type { Bus } from '../../libs/bus/mod.ts';
import {
  copyFleet,
  type Fleet,
  floorOf,
  foldInto,
  initialFleet,
  orderNow,
  type ServerState,
  takesRequests,
} from '../../libs/domain/mod.ts';
import type { EventOf, RecordedEvent, StreamName } from '../../libs/events/mod.ts';
import { createLately } from './lately.ts';
import type { Machine } from './machine.ts';
import type { Ending } from './simProxy.ts';
import type { Unit, World } from './world.ts';

/** Delays of messages and replies, and the moment in which a controller acts on what it knew just before. */
const graceMs = 5_000;
const tailLength = 60;
/** From the fact of an attempt to its command at the hardware. */
const commandMs = 5_000;

/** Looks at all that happens, from outside: the first rule that is broken ends the run. */
export interface Checker {
  readonly violation: string | undefined;
  readonly events: number;
  /** The fold of the stream, by nobody's delay. */
  readonly fleet: Fleet;
  readonly meters: readonly EventOf<'PowerMetered'>[];
  readonly samples: readonly EventOf<'LoadSampled'>[];
  readonly accounts: readonly EventOf<'EnergyAccounted'>[];
  /** Power commands sent so far, by kind. */
  readonly commands: Record<'wake' | 'graceful' | 'forced' | 'agent', number>;
  /** From now on every request has to be served. */
  expectService: boolean;
  /** From now on nothing may be switched off: a part of the control plane is away. */
  forbidSleep: string | undefined;
  /** The largest skew of any clock so far: leases may be longer by it. */
  maxSkewMs: number;
  /** Readings have a wrong time or are not taken: the ledger is as wrong. */
  metersBroken: boolean;
  begin(): void;
  /** Told of each fact of the history when it is stored. */
  onFact: (event: RecordedEvent) => void;
  onCommand(unit: Unit, bus: Bus, machine: Machine, command: 'wake' | 'graceful' | 'forced'): void;
  onPowerOff(machine: Machine, how: 'graceful' | 'forced' | 'agent'): void;
  onSent(proxy: Unit, machine: Machine): void;
  onEnd(ending: Ending): void;
  violate(what: string): void;
  /** The last things that happened, oldest first. */
  tail(): string[];
  /** Of everything that happened, in order. */
  hash(): string;
}

export function createChecker(worldOf: () => World): Checker {
  const fleet = initialFleet();
  const hash = createHash('sha256');
  const cursors: Record<StreamName, number> = { FLEET: 1, TELEMETRY: 1 };
  const meters: EventOf<'PowerMetered'>[] = [];
  const samples: EventOf<'LoadSampled'>[] = [];
  const accounts: EventOf<'EnergyAccounted'>[] = [];
  const heardMs = new Map<string, number>();
  /** Server → when its last attempts were stored. */
  const attemptedMs = { wake: new Map<string, number>(), sleep: new Map<string, number>() };
  const nowMs = () => worldOf().scheduler.nowMs();
  let decidedMs = 0;
  const targets = createLately<readonly string[]>(nowMs, graceMs);
  /** The fleet at each change of its rules, of which a command under way may not know yet: bounds and floor. */
  const rules = createLately<Fleet>(nowMs, graceMs);
  /** Servers as they were just before a configuration took them away or made them anew. */
  const replaced = new Map<string, { readonly state: ServerState; readonly atMs: number }>();
  /** The last word on who leads the power service. */
  let powerLease: { readonly replica: string; readonly endsMs: number } | undefined;
  const commands = { wake: 0, graceful: 0, forced: 0, agent: 0 };
  let violation: string | undefined;
  let events = 0;

  const tail: string[] = [];
  const note = (...parts: readonly (string | number)[]) => {
    const line = `${nowMs()} ${parts.join(' ')}`;
    hash.update(line);
    tail.push(line);
    if (tail.length > 2 * tailLength) tail.splice(0, tailLength);
  };
  const violate = (what: string) => {
    violation ??= what;
  };

  const onFleetEvent = (event: RecordedEvent) => {
    const before = fleet.servers;
    foldInto(fleet, event);
    switch (event.type) {
      case 'FleetConfigured':
        for (const state of Object.values(before))
          if (fleet.servers[state.name] !== state) replaced.set(state.name, { state, atMs: nowMs() });
        rules.note(copyFleet(fleet));
        break;
      case 'TargetPinned':
      case 'TargetUnpinned':
        rules.note(copyFleet(fleet));
        break;
      case 'CapacityDecided':
        decidedMs = nowMs();
        targets.note(event.data.target);
        break;
      case 'WakeAttempted':
        attemptedMs.wake.set(event.data.server, nowMs());
        checkTries(event);
        break;
      case 'SleepAttempted':
        attemptedMs.sleep.set(event.data.server, nowMs());
        checkTries(event);
        break;
      case 'WakeRequested':
        checkConcurrentWakes(event.data.pool);
        break;
      case 'EnergyAccounted':
        accounts.push(event);
        break;
      case 'ServerBecameHealthy':
      case 'SleepVerified':
        checkTruth(event);
        break;
    }
  };
  const checkTries = (event: EventOf<'WakeAttempted' | 'SleepAttempted'>) => {
    const { server, attempt } = event.data;
    const ladder = fleet.config?.servers[server]?.power ?? [];
    const tries = event.type === 'WakeAttempted' ? (ladder[event.data.rung]?.tries ?? 0) : 3;
    if (attempt > tries) violate(`${event.type} of ${server} is try ${attempt} of ${tries}`);
    const lately =
      fleet.servers[server]?.actionsAtMs.filter((atMs) => event.timeMs - atMs < 60_000).length ?? 0;
    const most = Math.max(...rules.values().map(({ config }) => config?.bounds.maxActionsPerMinute ?? 0));
    if (lately > most) violate(`${lately} commands to ${server} in a minute`);
  };
  const checkConcurrentWakes = (pool: string) => {
    const bound = fleet.config?.bounds.maxConcurrentWakes ?? 0;
    const wakes = Object.values(fleet.servers).filter(
      (state) => state.pool === pool && state.lifecycle === 'waking' && state.wake,
    );
    const fresh = wakes.filter(({ wake }) => wake?.overdueAtMs === undefined).length;
    if (fresh > bound || wakes.length > 2 * bound)
      violate(`${fresh} fresh of ${wakes.length} wakes at once, bound ${bound}`);
  };
  const checkTruth = ({ type, data: { server } }: EventOf<'ServerBecameHealthy' | 'SleepVerified'>) => {
    const machine = worldOf().machines.get(server);
    if (!machine || !healthIsSound(2 * graceMs)) return;
    const forMs = nowMs() - machine.sinceMs;
    if (forMs < 2 * graceMs) return;
    if (type === 'ServerBecameHealthy' && machine.life !== 'serving')
      violate(`${server} is called healthy and has been ${machine.life} for ${forMs} ms`);
    const deceived = machine.mood === 'lying' || worldOf().cutFromProber.has(server);
    if (type === 'SleepVerified' && machine.life === 'serving' && !deceived)
      violate(`the sleep of ${server} is called proven and it has been serving for ${forMs} ms`);
  };
  const healthIsSound = (forMs: number) => {
    const units = worldOf().units.filter(({ kind }) => kind === 'health');
    return units.every((unit) => isSound(unit, forMs));
  };
  const isSound = (unit: Unit, forMs: number) =>
    unit.running !== undefined && unit.faults === 0 && nowMs() - unit.disturbedAtMs > forMs;

  /** Was it in every decision that was in force within the grace? */
  const isWanted = (server: string) => targets.values().every((target) => target.includes(server));
  /** What whoever switches it off may hold it to be: a configuration that it does not know of changes nothing. */
  const stateOf = (server: string): ServerState | undefined => {
    const before = replaced.get(server);
    return before && nowMs() - before.atMs <= graceMs ? before.state : fleet.servers[server];
  };
  const checkPermission = (machine: Machine) => {
    const state = stateOf(machine.name);
    if (!state) return violate(`${machine.name} is switched off and nothing is configured`);
    if (state.sleep?.mend || violation) return;
    const decision = fleet.pools[state.pool]?.decision;
    const leaseMs = decision?.validForMs ?? 0;
    const toleranceMs = graceMs + Math.min(leaseMs, worldOf().checker.maxSkewMs);
    if (nowMs() - decidedMs > leaseMs + toleranceMs)
      violate(`${machine.name} is switched off on a decision of ${nowMs() - decidedMs} ms ago`);
    const order = orderNow(state, nowMs());
    if (order?.wants !== 'asleep' && isWanted(machine.name))
      violate(`${machine.name} is switched off and is wanted awake`);
  };
  const checkFloor = (machine: Machine) => {
    const state = stateOf(machine.name);
    // One that serves nothing takes nothing away.
    if (!state || state.sleep?.mend || state.health !== 'healthy') return;
    const others = [...lastServedMs.keys()].filter(
      (other) => other !== state.name && stateOf(other)?.pool === state.pool && countsLately(other),
    ).length;
    const floor = Math.min(...rules.values().map((ruled) => floorOf(ruled, state.pool)));
    if (others < floor)
      violate(`${machine.name} is switched off with ${others} others ready, floor ${floor}`);
  };
  const lastServedMs = new Map<string, number>();
  const countsLately = (server: string) => nowMs() - (lastServedMs.get(server) ?? 0) <= graceMs;
  const noteServing = () => {
    for (const state of Object.values(fleet.servers))
      if (takesRequests(state)) lastServedMs.set(state.name, nowMs());
  };
  const checkCut = (machine: Machine) => {
    const sleep = stateOf(machine.name)?.sleep;
    const goneMs = fleet.config?.bounds.proxyGoneMs ?? 0;
    for (const { proxy } of machine.inFlight) {
      const silentMs = nowMs() - (heardMs.get(proxy) ?? 0);
      if (sleep?.proxies[proxy] === 'timedOut' || silentMs > goneMs) continue;
      violate(
        `${machine.name} is switched off with a request of ${proxy} in flight, which said ` +
          `${sleep?.proxies[proxy] ?? 'nothing'} and was heard ${silentMs} ms ago`,
      );
    }
  };
  const read = () => {
    const { store } = worldOf();
    for (const stream of ['FLEET', 'TELEMETRY'] as const) {
      for (; cursors[stream] <= store.lastSequence(stream); cursors[stream] += 1) {
        const decoded = store.read(stream, cursors[stream])?.decoded;
        if (!decoded) continue;
        if (!decoded.ok) {
          violate(`a malformed event on ${decoded.malformed.subject}: ${decoded.malformed.problem}`);
          continue;
        }
        const { event } = decoded;
        events += 1;
        note(event.subject, event.type, event.id);
        if (stream === 'FLEET') {
          noteServing();
          onFleetEvent(event);
          worldOf().checker.onFact(event);
          noteServing();
        } else if (event.type === 'PowerMetered') meters.push(event);
        else if (event.type === 'LoadSampled') {
          samples.push(event);
          heardMs.set(event.data.proxy, nowMs());
        } else if (event.type === 'LeaseHeld' && event.data.service === 'power') {
          const { replica, leaseMs, released } = event.data;
          powerLease = { replica, endsMs: released ? 0 : nowMs() + leaseMs };
        }
      }
    }
  };

  const checker: Checker = {
    get violation() {
      return violation;
    },
    get events() {
      return events;
    },
    fleet,
    meters,
    samples,
    accounts,
    commands,
    expectService: false,
    forbidSleep: undefined,
    maxSkewMs: 0,
    metersBroken: false,
    onFact: () => {},
    begin() {
      worldOf().store.watch(read);
    },
    onCommand(unit, bus, machine, command) {
      commands[command] += 1;
      note('command', unit.name, machine.name, command);
      noteServing();
      const kind = command === 'wake' ? 'wake' : 'sleep';
      const sinceMs = nowMs() - (attemptedMs[kind].get(machine.name) ?? 0);
      const lostForMs =
        bus.lostSinceMs === undefined ? 0 : unit.process ? unit.process.clock.nowMs() - bus.lostSinceMs : 0;
      const wasStopped = nowMs() - unit.disturbedAtMs < commandMs;
      const isAlone = lostForMs >= (fleet.config?.bounds.busLostMs ?? 0) || wasStopped;
      if (command === 'wake') {
        if (sinceMs > commandMs && !isAlone)
          violate(`${unit.name} wakes ${machine.name} ${sinceMs} ms after the last WakeAttempted`);
        return;
      }
      // One that was stopped on its way goes on where it was, as long as its lease runs: nobody else leads so far.
      const leads = powerLease?.replica === unit.name && nowMs() < powerLease.endsMs;
      if (sinceMs > commandMs && !(wasStopped && leads))
        violate(`${unit.name} switches ${machine.name} off ${sinceMs} ms after the last SleepAttempted`);
      checkPermission(machine);
    },
    onPowerOff(machine, how) {
      note('off', machine.name, how);
      noteServing();
      if (how === 'agent') commands.agent += 1;
      if (worldOf().checker.forbidSleep !== undefined)
        violate(`${machine.name} is switched off although ${worldOf().checker.forbidSleep}`);
      checkCut(machine);
      checkFloor(machine);
      if (how === 'agent') checkPermission(machine);
    },
    onSent(proxy, machine) {
      if (machine.life === 'serving') return;
      const forMs = nowMs() - machine.sinceMs;
      const detectionMs = detectionBoundMs(fleet);
      if (forMs <= detectionMs || worldOf().cutFromProber.has(machine.name)) return;
      if (!healthIsSound(detectionMs) || !isSound(proxy, detectionMs)) return;
      violate(`${proxy.name} sends a request to ${machine.name}, ${machine.life} for ${forMs} ms`);
    },
    onEnd(ending) {
      note('ended', ending);
      if (worldOf().checker.expectService && ending !== 'served')
        violate(`a request is ${ending} although all is well`);
    },
    violate,
    tail: () => tail.slice(-tailLength),
    hash: () => hash.copy().digest('hex'),
  };
  return checker;
}

/** How long a server that died may go on getting requests: as many bad probes as it takes, and the way of the fact. */
function detectionBoundMs({ config }: Fleet): number {
  const check = Object.values(config?.pools ?? {})[0]?.healthCheck;
  if (!check) return graceMs;
  return check.fall * (check.intervalMs * (1 + check.jitter) + check.timeoutMs) + graceMs;
}
