import type { StreamLimits } from '../../libs/bus/mod.ts';
import type { RackConfigSettings } from '../rack/config.ts';
import { daySettings } from '../rack/day.ts';
import type { RackOptions } from '../rack/options.ts';
import type { ChaosOptions } from './options.ts';

export const pool = 'web';
/** An answer takes 100 ms on average in one of 4 slots: 32 requests/s within the objective. */
const serviceTimeMs = 100;
const workers = 4;
/** The load swings between these shares of what the rack sustains, in so long. */
export const load = { lowShare: 0.05, highShare: 0.5, periodSeconds: 40 };

const mebibyte = 1_024 * 1_024;
export const streamLimits: StreamLimits = {
  replicas: 3,
  fleetMaxBytes: 64 * mebibyte,
  telemetryMaxBytes: 64 * mebibyte,
  snapshotsMaxBytes: 64 * mebibyte,
};

/** Machines that start in seconds. */
export function chaosRack({ servers, seed }: Pick<ChaosOptions, 'servers' | 'seed'>): RackOptions {
  return {
    servers,
    seed,
    defaults: { workers, serviceTimeMs },
    setupTimeMs: 2_500,
    poweringOnMs: 400,
    shutdownMs: 600,
    startAhead: true,
    maxSessions: 64,
  };
}

export const leaderLeaseMs = 2_000;

/** What is minutes in production is seconds here. */
export const chaosSettings: Omit<RackConfigSettings, 'password'> = {
  ...daySettings,
  poolSettings: {
    ...daySettings.poolSettings,
    minServers: 1,
    latencyObjectiveMs: 1_000,
  },
  bounds: {
    ...daySettings.bounds,
    leaderLeaseMs,
    maxCyclesPerDay: 200,
    maxMendsPerDay: 50,
    maxActionsPerMinute: 60,
    quarantineMs: 2_000,
    maxQuarantineMs: 8_000,
    hungAfterMs: 4_000,
    minConfirmMs: 1_000,
    minRungTimeoutMs: 4_000,
    contradictionConfirmMs: 500,
    contradictionSettleMs: 4_000,
    restartStormWindowMs: 5_000,
    flapWindowMs: 2_000,
  },
  redfish: { requestTimeoutMs: 2_000, gracefulOffTimeoutMs: 6_000, confirmTimeoutMs: 3_000 },
};
