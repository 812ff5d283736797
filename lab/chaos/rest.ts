import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { type Fleet, foldInto, initialFleet } from '../../libs/domain/mod.ts';
import type { RecordedEvent } from '../../libs/events/mod.ts';
import { troubleOf } from '../faultSim/atRest.ts';
import type { MachineKind } from '../rack/machine.ts';
import { areReady, type Site } from './site.ts';

const pollMs = 500;

const lifeOf: Readonly<Record<MachineKind, Parameters<typeof troubleOf>[1]['life']>> = {
  off: 'off',
  poweringOn: 'booting',
  booting: 'booting',
  serving: 'serving',
  crashed: 'dead',
  poweringOff: 'shuttingDown',
};

/**
 * Looks again and again until every service holds the fold of the stream, and what is held to be true of each server
 * is. @returns what still differs after `timeoutMs`; none: all is true.
 */
export async function divergenceAtRest(site: Site, timeoutMs: number): Promise<readonly string[]> {
  const untilMs = Date.now() + timeoutMs;
  for (;;) {
    const found = await divergenceNow(site).catch((error: unknown) => [`not seen: ${error}`]);
    if (found.length === 0 || Date.now() > untilMs) return found;
    await pause(pollMs);
  }
}

async function divergenceNow(site: Site): Promise<string[]> {
  if (!(await areReady(site.units))) return ['a service is not ready, or none of its replicas leads'];
  return [...divergedServers(site), ...(await divergedUnits(site))];
}

function divergedServers({ rack, view }: Site): string[] {
  return Object.values(view.fleet.servers).flatMap((state) => {
    const { state: kind } = rack.status(state.name);
    const machine = { life: lifeOf[kind], power: kind === 'off' ? ('off' as const) : ('on' as const) };
    const trouble = troubleOf(state, machine);
    return trouble ? [`${state.name} ${trouble}, its machine is ${kind}`] : [];
  });
}

async function divergedUnits({ units, bus }: Site): Promise<string[]> {
  const held = await Promise.all(
    units.map(async ({ name, fleet }) => ({ name, fleet: (await fleet()) as Fleet })),
  );
  const history = await readHistory(bus);
  return held.flatMap(({ name, fleet }) => {
    if (!fleet) return [`${name} does not say what it holds`];
    const fold = JSON.parse(JSON.stringify(foldTo(history, fleet.sequence)));
    return isDeepStrictEqual(fleet, fold) ? [] : [`${name} at ${fleet.sequence}: ${difference(fleet, fold)}`];
  });
}

/** The whole stream FLEET. */
export async function readHistory(bus: Site['bus']): Promise<readonly RecordedEvent[]> {
  const history: RecordedEvent[] = [];
  for await (const event of bus.history('FLEET', 1)) history.push(event);
  return history;
}

function foldTo(history: readonly RecordedEvent[], sequence: number): Fleet {
  const fleet = initialFleet();
  for (const event of history) if (event.sequence <= sequence) foldInto(fleet, event);
  return fleet;
}

function difference(held: Fleet, fold: Fleet): string {
  const keys = Object.keys({ ...held, ...fold }) as (keyof Fleet)[];
  const key = keys.find((one) => !isDeepStrictEqual(held[one], fold[one]));
  return key
    ? `${key} is ${JSON.stringify(held[key])}, not ${JSON.stringify(fold[key])}`.slice(0, 2_000)
    : 'equal';
}
