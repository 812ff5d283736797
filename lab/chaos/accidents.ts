import { setTimeout as pause } from 'node:timers/promises';
import { takesRequests } from '../../libs/domain/mod.ts';
import type { BmcFault } from '../rack/faults.ts';
import { isProvided, isSettled } from '../trial/settled.ts';
import type { Deaths } from './clients.ts';
import type { PlannedAccident } from './plan.ts';
import { pool } from './settings.ts';
import { areReady, isServed, type Site, type Unit } from './site.ts';

/** What happened, and what became of it. */
export interface Accident {
  readonly atMs: number;
  readonly kind: string;
  readonly target: string;
  /** How long nobody did what its target is there for, as far as was seen. */
  readonly outageMs: number;
  /** From the kill, or from when what was stopped or cut went on, until all is as before; null: not in time. */
  readonly recoveredMs: number | null;
}

export interface AccidentContext {
  readonly site: Site;
  readonly deaths: Deaths & { readonly proxies: Map<string, number> };
  readonly say: (line: string) => void;
}

/** What an accident of one kind does. Undefined: it can't happen now. */
interface Deed {
  readonly target: string;
  /** Nothing else happens to these meanwhile. */
  readonly locks: readonly string[];
  readonly begin: () => void | Promise<void>;
  /** After the hold. */
  readonly end: () => void | Promise<void>;
  readonly isWell: () => boolean | Promise<boolean>;
  /** Is the work done meanwhile? Left out: when it is well. */
  readonly isServed?: () => boolean | Promise<boolean>;
  /** Its recovery counts from the beginning, not from the end. */
  readonly countsFromBegin?: boolean;
}

const recoveryTimeoutMs = 120_000;
const pollMs = 200;
const mostServersHit = 2;
/** The operator wants a server whose wake is lost for so long. */
const orderMs = 30_000;

const nothing = () => {};

/** Lets accidents happen. @returns the way to run one to its end, and what has happened so far. */
export function createAccidents(context: AccidentContext) {
  const { say } = context;
  const locked = new Set<string>();
  const happened: Accident[] = [];
  const underWay = new Set<Promise<void>>();

  const run = async (planned: PlannedAccident, deed: Deed) => {
    const { kind, holdMs } = planned;
    const { target, locks } = deed;
    for (const lock of locks) locked.add(lock);
    const atMs = Date.now();
    const record: { -readonly [K in keyof Accident]: Accident[K] } = {
      atMs,
      kind,
      target,
      outageMs: 0,
      recoveredMs: null,
    };
    happened.push(record);
    say(`${kind} ${target} for ${holdMs} ms`);
    const over = new AbortController();
    const watching = watch(deed, over.signal);
    try {
      await deed.begin();
      await pause(holdMs);
      await deed.end();
    } finally {
      over.abort();
    }
    const fromMs = deed.countsFromBegin ? atMs : Date.now();
    const { unwellMs, unservedMs, isWell } = await watching;
    record.outageMs = unservedMs;
    if (isWell) record.recoveredMs = Math.max(0, unwellMs - fromMs);
    say(
      isWell
        ? `${kind} ${target} recovered in ${record.recoveredMs} ms, out for ${record.outageMs} ms`
        : `${kind} ${target} NOT recovered`,
    );
    for (const lock of locks) locked.delete(lock);
  };
  return {
    happened,
    /** Begins it, unless its target is hit already. Never throws. */
    begin(planned: PlannedAccident): void {
      const deed = deedOf(planned, context, (lock) => locked.has(lock));
      if (!deed || deed.locks.some((lock) => locked.has(lock))) return;
      const running = run(planned, deed)
        .catch((error: unknown) => say(`${planned.kind}: ${error}`))
        .finally(() => underWay.delete(running));
      underWay.add(running);
    },
    /** Resolves when those that began are over and have recovered, or have not. */
    async over(): Promise<void> {
      await Promise.all(underWay);
    },
  };
}

/**
 * Looks until the accident is over and all is well, or for `recoveryTimeoutMs` after it.
 * @returns when it was last seen not to be well (epoch ms; 0: never), and how long it was not served.
 */
async function watch({ isWell, isServed }: Deed, over: AbortSignal) {
  let overAtMs: number | undefined;
  let unwellMs = 0;
  let unservedMs = 0;
  let lookedMs = Date.now();
  for (;;) {
    if (over.aborted) overAtMs ??= Date.now();
    const [well, served] = await Promise.all([isWell(), isServed?.()]);
    if (!well) unwellMs = Date.now();
    if (!(served ?? well)) unservedMs += Date.now() - lookedMs;
    lookedMs = Date.now();
    const isLate = overAtMs !== undefined && Date.now() - overAtMs > recoveryTimeoutMs;
    if (overAtMs !== undefined && (well || isLate)) return { unwellMs, unservedMs, isWell: well };
    await pause(pollMs);
  }
}

function chosen<T>(list: readonly T[], draw: number): T | undefined {
  return list[Math.floor(draw * list.length)];
}

function deedOf(
  planned: PlannedAccident,
  context: AccidentContext,
  isLocked: (lock: string) => boolean,
): Deed | undefined {
  const { kind } = planned;
  if (kind === 'natsKill' || kind === 'natsStop') return natsDeed(planned, context);
  const isProxy = kind.startsWith('proxy');
  if (isProxy || kind.startsWith('service') || kind === 'rollingRestart') {
    const { units } = context.site;
    const unit = chosen(
      units.filter((one) => (one.kind === 'proxy') === isProxy),
      planned.draw,
    );
    return unit && (isProxy ? proxyDeed(planned, unit, context) : serviceDeed(planned, unit, context));
  }
  return serverDeed(planned, context, isLocked);
}

/** Well: all replicas of its kind are ready and one leads. Served: one of them does the work. */
function wellnessOf({ site }: AccidentContext, { kind }: Unit): Pick<Deed, 'isWell' | 'isServed'> {
  const units = site.units.filter((unit) => unit.kind === kind);
  return { isWell: () => areReady(units), isServed: () => isServed(units) };
}

function serviceDeed({ kind }: PlannedAccident, unit: Unit, context: AccidentContext): Deed {
  const about = { target: unit.name, locks: [unit.kind], ...wellnessOf(context, unit) };
  if (kind === 'serviceKill')
    return { ...about, begin: () => unit.signal('SIGKILL'), end: nothing, countsFromBegin: true };
  if (kind === 'serviceStop')
    return { ...about, begin: () => unit.signal('SIGSTOP'), end: () => unit.signal('SIGCONT') };
  if (kind === 'serviceCut') return { ...about, ...cutDeed(unit) };
  const units = context.site.units.filter((one) => one.kind === unit.kind);
  return { ...about, target: unit.kind, begin: () => restartInTurn(units), end: nothing };
}

function cutDeed({ cables }: Unit): Pick<Deed, 'begin' | 'end'> {
  return {
    begin() {
      for (const cable of cables) cable.unplug();
    },
    end() {
      for (const cable of cables) cable.plug();
    },
  };
}

/** SIGTERM to one after the other, the next when the one before is ready again. */
async function restartInTurn(units: readonly Unit[]): Promise<void> {
  for (const { process, ready } of units) {
    const { pid } = process;
    process.kill('SIGTERM');
    const untilMs = Date.now() + recoveryTimeoutMs;
    while (Date.now() < untilMs) {
      if (process.pid !== undefined && process.pid !== pid && (await ready())) break;
      await pause(pollMs);
    }
  }
}

function proxyDeed({ kind }: PlannedAccident, unit: Unit, context: AccidentContext): Deed {
  const about = { target: unit.name, locks: ['proxy'], ...wellnessOf(context, unit) };
  const { address = '' } = unit;
  switch (kind) {
    case 'proxyKill':
      return {
        ...about,
        begin() {
          context.deaths.proxies.set(address, Date.now());
          unit.signal('SIGKILL');
        },
        end: nothing,
        countsFromBegin: true,
      };
    case 'proxyStop':
      return { ...about, begin: () => unit.signal('SIGSTOP'), end: () => unit.signal('SIGCONT') };
    case 'proxyCut':
      return { ...about, ...cutDeed(unit) };
    default:
      return { ...about, begin: () => unit.process.kill('SIGHUP'), end: nothing, countsFromBegin: true };
  }
}

function natsDeed({ kind, draw }: PlannedAccident, { site }: AccidentContext): Deed | undefined {
  const { servers } = site.cluster;
  const server = chosen(servers, draw);
  if (!server) return undefined;
  const isWell = async () => site.bus.lostSinceMs === undefined && (await areReady(site.units));
  const served = async () => {
    const kinds = [...new Set(site.units.map((unit) => unit.kind))];
    const answers = kinds.map((one) => isServed(site.units.filter((unit) => unit.kind === one)));
    return (await Promise.all(answers)).every((answer) => answer);
  };
  const target = `nats-server ${servers.indexOf(server) + 1}`;
  const about = { target, locks: ['nats'], isWell, isServed: served };
  return kind === 'natsKill'
    ? { ...about, begin: () => server.kill('SIGKILL'), end: () => server.restart() }
    : { ...about, begin: () => server.kill('SIGSTOP'), end: () => server.kill('SIGCONT') };
}

const bmcFaults: readonly BmcFault[] = [
  { kind: 'hang' },
  { kind: 'resetConnection' },
  { kind: 'status', status: 503 },
  { kind: 'status', status: 401 },
  { kind: 'malformedJson' },
  { kind: 'ignoredReset' },
  { kind: 'zeroWatts' },
];

function serverDeed(
  planned: PlannedAccident,
  { site, deaths }: AccidentContext,
  isLocked: (lock: string) => boolean,
): Deed | undefined {
  const { kind, draw, way } = planned;
  const { rack, view } = site;
  const free = rack.servers.map(({ name }) => name).filter((name) => !isLocked(name));
  if (rack.servers.length - free.length >= mostServersHit) return undefined;
  const stateOf = (name: string) => view.fleet.servers[name];
  const wanted = free.filter((name) => {
    if (kind === 'lostWake') return stateOf(name)?.lifecycle === 'asleep';
    if (kind === 'sleepOrder') return stateOf(name)?.lifecycle === 'ready';
    const isHit = kind === 'crash' || kind === 'powerCut';
    return !isHit || rack.status(name).state === 'serving';
  });
  const target = chosen(wanted, draw);
  if (target === undefined) return undefined;
  const isServed = () => isProvided(view.fleet, pool);
  const isWell = () => isSettled(view.fleet, target) && isServed();
  const about = { target, locks: [target], isWell, isServed };
  switch (kind) {
    case 'crash':
    case 'powerCut': {
      const hit = () => {
        deaths.serverAtMs = Date.now();
        if (kind === 'crash') rack.crashOrigin(target);
        else rack.cutPower(target);
      };
      return { ...about, begin: hit, end: nothing, countsFromBegin: true };
    }
    case 'bmc': {
      const fault = chosen(bmcFaults, way) ?? { kind: 'hang' };
      return {
        ...about,
        target: `${target} ${fault.kind}`,
        begin: () => rack.setFaults(target, [fault]),
        end: () => rack.setFaults(target, []),
      };
    }
    case 'lostWake':
      return { ...about, ...lostWakeDeed(planned, site, target, isWell) };
    default:
      return { ...about, ...operatorDeed(planned, site, target) };
  }
}

/** The operator wants it, and its wake comes to nothing: the BMC does not do it, or the machine never serves. */
function lostWakeDeed(
  { way }: PlannedAccident,
  { rack, view, bus }: Site,
  server: string,
  isWell: () => boolean,
): Pick<Deed, 'begin' | 'end' | 'countsFromBegin' | 'isWell'> {
  const fault: BmcFault =
    way < 0.5
      ? { kind: 'ignoredReset', resetTypes: ['On'], times: 1 }
      : { kind: 'slowBoot', factor: Number.POSITIVE_INFINITY, times: 1 };
  const untilMs = Date.now() + orderMs;
  const data = { server, untilMs, reason: 'a wake to be lost', by: 'chaos' };
  return {
    async begin() {
      rack.setFaults(server, [fault]);
      await bus.publish({ type: 'WakeOrdered', data });
    },
    end: nothing,
    countsFromBegin: true,
    isWell: () => {
      const state = view.fleet.servers[server];
      return state !== undefined && (takesRequests(state) || (Date.now() > untilMs && isWell()));
    },
  };
}

/** The operator's hand at a bad moment: a sleep under load, a cordon. */
function operatorDeed(
  { kind, holdMs }: PlannedAccident,
  { bus }: Site,
  server: string,
): Pick<Deed, 'begin' | 'end'> {
  const data = { server, reason: 'an accident', by: 'chaos' };
  if (kind === 'sleepOrder') {
    const order = { ...data, untilMs: Date.now() + holdMs };
    return {
      begin: async () => void (await bus.publish({ type: 'SleepOrdered', data: order })),
      end: nothing,
    };
  }
  return {
    begin: async () => void (await bus.publish({ type: 'ServerCordoned', data })),
    end: async () => void (await bus.publish({ type: 'ServerUncordoned', data })),
  };
}

/** Everything is as it should be again: nothing stopped, cut, faulty or cordoned. */
export async function mendAll({ site }: AccidentContext): Promise<void> {
  for (const server of site.cluster.servers) {
    await server.kill('SIGCONT');
    if (server.pid === undefined) await server.restart();
  }
  for (const unit of site.units) {
    for (const cable of unit.cables) cable.plug();
    unit.signal('SIGCONT');
  }
  for (const { name } of site.rack.servers) {
    site.rack.setFaults(name, []);
    const data = { server: name, reason: 'the accidents are over', by: 'chaos' };
    if (site.view.fleet.servers[name]?.cordoned) await site.bus.publish({ type: 'ServerUncordoned', data });
  }
}
