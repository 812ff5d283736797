import { setTimeout as pause } from 'node:timers/promises';
import { floorOf } from '../../libs/domain/mod.ts';
import type { NoSleep } from './judge.ts';
import { pool } from './settings.ts';
import { areReady, type Site, type UnitKind } from './site.ts';

export interface Absence {
  readonly gone: string;
  readonly seconds: number;
  readonly noSleep: NoSleep;
  /** Servers that served when it ended, and how many of them have to. */
  readonly servingAtEnd: number;
  readonly floor: number;
  readonly recoveredMs: number | null;
}

/** What is gone in each phase. */
const absences: readonly {
  readonly gone: string;
  readonly kinds: readonly UnitKind[];
  /** Of the three nats-servers. */
  readonly natsServers: number;
}[] = [
  { gone: 'planner', kinds: ['planner'], natsServers: 0 },
  { gone: 'power', kinds: ['power'], natsServers: 0 },
  { gone: 'health', kinds: ['health'], natsServers: 0 },
  { gone: 'bus', kinds: [], natsServers: 3 },
  { gone: 'majority of the bus', kinds: [], natsServers: 2 },
  { gone: 'all', kinds: ['planner', 'power', 'health'], natsServers: 3 },
];

export const absenceCount = absences.length;

/** From the loss until nothing may be switched off: a command under way, and the way of what was said before. */
const commandMs = 1_500;
const recoveryTimeoutMs = 120_000;
const pollMs = 100;

/**
 * Fail awake: for a while there is no planner, no power service, no health service, no bus, nothing of it, under
 * load. Both replicas are stopped, then killed, so that they come back as after a crash. Of the bus, all nats-servers or
 * so many that the rest is no majority.
 */
export async function runAbsences(
  site: Site,
  seconds: number,
  say: (line: string) => void,
): Promise<readonly Absence[]> {
  const results: Absence[] = [];
  for (const absence of absences) results.push(await runAbsence(site, absence, seconds, say));
  return results;
}

async function runAbsence(
  site: Site,
  { gone, kinds, natsServers }: (typeof absences)[number],
  seconds: number,
  say: (line: string) => void,
): Promise<Absence> {
  const units = site.units.filter(({ kind }) => kinds.includes(kind));
  say(`${gone} gone for ${seconds} s`);
  for (const unit of units) unit.signal('SIGSTOP');
  const stopped = site.cluster.servers.slice(0, natsServers);
  await Promise.all(stopped.map((server) => server.kill('SIGSTOP')));
  const goneMs = Date.now();
  await pause(seconds * 1_000);
  const { fleet } = site.view;
  const leaseOf = {
    planner: fleet.config?.pools[pool]?.planner.leaseMs,
    health: fleet.config?.bounds.healthLeaseMs,
  };
  const leaseMs = gone === 'planner' || gone === 'health' ? (leaseOf[gone] ?? 0) : 0;
  const noSleep = { fromMs: goneMs + leaseMs + commandMs, toMs: Date.now(), why: `there is no ${gone}` };
  const serving = site.rack.servers.filter(({ name }) => site.rack.status(name).state === 'serving');
  for (const unit of units) unit.signal('SIGKILL');
  await Promise.all(stopped.map((server) => server.kill('SIGCONT')));
  const backMs = Date.now();
  while (!(await areReady(site.units)) && Date.now() - backMs < recoveryTimeoutMs) await pause(pollMs);
  const recoveredMs = (await areReady(site.units)) ? Date.now() - backMs : null;
  say(`${gone} back: ${serving.length} servers served, all ready after ${recoveredMs} ms`);
  return { gone, seconds, noSleep, servingAtEnd: serving.length, floor: floorOf(fleet, pool), recoveredMs };
}
