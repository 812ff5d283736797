import { setTimeout as pause } from 'node:timers/promises';
import { poissonArrivals } from '../load/arrivals.ts';
import { runOpenLoop } from '../load/openLoop.ts';
import { seededRandom } from '../rack/random.ts';
import { type Accident, createAccidents, mendAll } from './accidents.ts';
import { createClients, type Deaths } from './clients.ts';
import { judgePower } from './judge.ts';
import type { ChaosOptions } from './options.ts';
import { type Absence, absenceCount, runAbsences } from './phases.ts';
import { planAccidents } from './plan.ts';
import { type ChaosReport, chaosReport } from './report.ts';
import { divergenceAtRest, readHistory } from './rest.ts';
import { load as loadShape } from './settings.ts';
import { type Site, startSite } from './site.ts';

export interface ChaosRun {
  readonly report: ChaosReport;
  /** In order. */
  readonly accidents: readonly Accident[];
}

const absencesFromMinutes = 2;
const progressMs = 10_000;
const leastAbsenceSeconds = 15;
const mostAbsenceSeconds = 45;
const restTimeoutMs = 150_000;
const requestTimeoutMs = 120_000;

/**
 * Starts everything, lets accidents happen under load, waits until all is at rest, and judges.
 * @param say one line for each thing that happens.
 * @param signal ends the accidents and the load early; the report is of what happened until then.
 */
export async function runChaos(
  options: ChaosOptions,
  distDir: string,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<ChaosRun> {
  const site = await startSite(options, distDir, say);
  try {
    return await runOn(site, options, say, signal);
  } finally {
    await site.close();
  }
}

/** Of the whole time, what the absences take. */
export function absenceSeconds(minutes: number): number {
  if (minutes < absencesFromMinutes) return 0;
  return Math.min(mostAbsenceSeconds, Math.max(leastAbsenceSeconds, minutes * 6));
}

async function runOn(
  site: Site,
  options: ChaosOptions,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<ChaosRun> {
  const deaths = { proxies: new Map<string, number>(), serverAtMs: 0 };
  const loading = startLoad(site, options, deaths);
  const telling = setInterval(() => {
    const { requests, failed } = loading.result();
    const serving = site.rack.servers.filter(({ name }) => site.rack.status(name).state === 'serving');
    say(`${serving.length} servers serve, ${requests} requests, ${failed} failed`);
  }, progressMs);
  try {
    return await judged(site, options, deaths, loading, say, signal);
  } finally {
    clearInterval(telling);
  }
}

async function judged(
  site: Site,
  { seed, minutes }: ChaosOptions,
  deaths: Parameters<typeof createAccidents>[0]['deaths'],
  loading: ReturnType<typeof startLoad>,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<ChaosRun> {
  const durationMs = minutes * 60_000;
  const absentSeconds = absenceSeconds(minutes);
  const context = { site, deaths, say };
  const accidents = createAccidents(context);
  const accidentsMs = durationMs - absenceCount * absentSeconds * 1_000;
  const startedMs = performance.now();
  for (const planned of planAccidents(accidentsMs, seededRandom(seed * 31 + 7))) {
    const waitMs = planned.atMs - (performance.now() - startedMs);
    await pause(Math.max(0, waitMs), undefined, { signal }).catch(() => {});
    if (signal.aborted) break;
    accidents.begin(planned);
  }
  await accidents.over();
  await mendAll(context);
  let absences: readonly Absence[] = [];
  if (absentSeconds > 0 && !signal.aborted) absences = await runAbsences(site, absentSeconds, say);
  say('the accidents are over; waiting for the last answers');
  const { result, clients } = await loading.end();
  say('waiting until everything is at rest');
  const diverged = await divergenceAtRest(site, restTimeoutMs);
  const commands = site.rack.powerCommands();
  const history = await readHistory(site.bus);
  const noSleep = absences.map((absence) => absence.noSleep);
  const wrong = judgePower({ commands, history, leases: site.powerLeases, noSleep });
  const report = chaosReport({
    seed,
    minutes,
    load: result,
    clients,
    commands,
    wrong,
    diverged,
    accidents: accidents.happened,
    absences,
  });
  return { report, accidents: accidents.happened };
}

function startLoad({ rack, units }: Site, { seed, minutes }: ChaosOptions, deaths: Deaths) {
  const proxies = units.flatMap(({ address }) => address ?? []);
  const random = seededRandom(seed * 17 + 3);
  const clients = createClients(proxies, deaths, random);
  const capacityRps = rack.servers.reduce((sum, server) => sum + server.capacityRps, 0);
  const { lowShare, highShare, periodSeconds } = loadShape;
  const rateAt = (second: number) => {
    const swing = (1 - Math.cos((2 * Math.PI * second) / periodSeconds)) / 2;
    return capacityRps * (lowShare + (highShare - lowShare) * swing);
  };
  const abort = new AbortController();
  // It is ended when the accidents are; what recovers slowly takes longer than planned.
  const arrivals = poissonArrivals(rateAt, capacityRps * highShare, minutes * 600, random);
  const { ask } = clients;
  const loop = runOpenLoop({ ask, arrivals, timeoutMs: requestTimeoutMs, signal: abort.signal });
  return {
    result: loop.result,
    async end() {
      abort.abort();
      const result = await loop.done;
      await clients.close();
      return { result, clients };
    },
  };
}
