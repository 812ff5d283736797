import type { RackConfigSettings } from './config.ts';
import type { RackOptions } from './options.ts';

const daySeconds = 86_400;
/** The published test bed (AutoScale, 2012): from power-on to serving. */
const realSetupTimeMs = 260_000;
/** An origin is a real process: it can't start in less. */
const shortestSetupTimeMs = 1_500;
/** Mean time of one answer, and how many at once: 4 workers / 60 ms sustain about 53 requests/s. */
const serviceTimeMs = 60;
const workers = 4;

/** The load's highest point as a share of what the whole rack sustains. */
export const peakShare = 0.65;

/** The virtual machines of a day that takes `seconds`: as fast as that, but never faster than a process starts. */
export function dayRack(servers: number, seed: number, seconds: number): RackOptions {
  const setupTimeMs = Math.max(shortestSetupTimeMs, (realSetupTimeMs * seconds) / daySeconds);
  return {
    servers,
    seed,
    defaults: { workers, serviceTimeMs },
    setupTimeMs,
    poweringOnMs: setupTimeMs / 10,
    shutdownMs: setupTimeMs / 5,
  };
}

/** Settings for a day compressed into minutes: what is minutes in production is seconds here. */
export const daySettings: Omit<RackConfigSettings, 'password'> = {
  inFlightPerWorker: 8,
  wakeTimeoutMs: 20_000,
  poolSettings: {
    minServers: 1,
    latencyObjectiveMs: 500,
    drainTimeoutMs: 10_000,
    failAwakeAfterMs: 10_000,
    healthCheck: {
      probe: { kind: 'http', path: '/healthz' },
      intervalMs: 500,
      fastIntervalMs: 100,
      timeoutMs: 1_000,
      rise: 2,
      fall: 3,
    },
    planner: {
      burstWindowMs: 1_000,
      // A minute is little to learn from, and an answer that waits for half a second is no failure here.
      risk: 0.05,
      decideIntervalMs: 250,
      leaseMs: 5_000,
      minAwakeMs: 1_000,
    },
  },
  bounds: {
    maxConcurrentWakes: 4,
    maxCyclesPerDay: 200,
    reconcileIntervalMs: 250,
    meterIntervalMs: 500,
    sampleIntervalMs: 250,
    proxyLeaseMs: 3_000,
    proxyGoneMs: 30_000,
    healthLeaseMs: 3_000,
    quarantineMs: 10_000,
    sleepProofTimeoutMs: 5_000,
    busLostMs: 5_000,
  },
  // Of the order of a European household's tariff and grid in 2025, so that money and CO2 are to be seen.
  costs: { currency: 'EUR', pricePerKwh: 0.25, co2GramsPerKwh: 300 },
  redfish: { requestTimeoutMs: 3_000, gracefulOffTimeoutMs: 15_000, confirmTimeoutMs: 5_000 },
};
