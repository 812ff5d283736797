import type { RackConfigSettings } from '../rack/config.ts';
import type { RackOptions } from '../rack/options.ts';
import type { TrialOptions } from './options.ts';

/** An origin answers in 32 ms on average in one of 4 slots: 100 requests/s within the objective. */
const workers = 4;
const serviceTimeMs = 32;
export const latencyObjectiveMs = 500;

const dayMs = 86_400_000;
const poweringOnMs = 5_000;
const shutdownMs = 30_000;

/** The machines of a trial: the rack's own times, divided by the speed. */
export function trialRack({
  servers,
  seed,
  speed,
  setupSeconds,
}: Pick<TrialOptions, 'servers' | 'seed' | 'speed' | 'setupSeconds'>): RackOptions {
  const setupTimeMs = setupSeconds * 1_000;
  return {
    servers,
    seed,
    defaults: { workers, serviceTimeMs },
    setupTimeMs,
    poweringOnMs: Math.min(poweringOnMs, setupTimeMs),
    shutdownMs,
    timeScale: speed,
    startAhead: true,
    // Many short sessions of a quick experiment: a BMC's ordinary bound would be met by a restarted service.
    maxSessions: 64,
  };
}

/**
 * Nemuri's settings for a series that is replayed `speed` times faster: each production default divided by the speed,
 * but never below what processes and sockets take on an ordinary machine. What has no time in it stays as in production.
 */
export function trialSettings(speed: number): Omit<RackConfigSettings, 'password'> {
  const scaled = (productionMs: number, leastMs: number) =>
    Math.round(Math.min(productionMs, Math.max(leastMs, productionMs / speed)));
  return {
    inFlightPerWorker: 8,
    wakeTimeoutMs: scaled(780_000, 12_000),
    poolSettings: {
      minServers: 1,
      latencyObjectiveMs,
      drainTimeoutMs: scaled(30_000, 3_000),
      failAwakeAfterMs: scaled(60_000, 10_000),
      healthCheck: {
        probe: { kind: 'http', path: '/healthz' },
        intervalMs: scaled(2_000, 500),
        fastIntervalMs: scaled(500, 20),
        timeoutMs: scaled(2_000, 1_000),
      },
      planner: {
        dayMs: Math.round(dayMs / speed),
        burstWindowMs: scaled(6_000, 200),
        decideIntervalMs: scaled(2_000, 50),
        leaseMs: scaled(30_000, 5_000),
        minAwakeMs: scaled(60_000, 0),
      },
      balancing: { slowStartMs: scaled(10_000, 0) },
      forwarding: { ejectMs: scaled(5_000, 500), connectTimeoutMs: scaled(2_000, 500) },
    },
    bounds: {
      // A day of the experiment is minutes of the clock, on which the bound is counted.
      maxCyclesPerDay: 200,
      maxMendsPerDay: 50,
      maxActionsPerMinute: 60,
      reconcileIntervalMs: scaled(2_000, 200),
      meterIntervalMs: scaled(5_000, 200),
      sampleIntervalMs: scaled(1_000, Math.min(1_000, 30_000 / speed)),
      proxyLeaseMs: scaled(10_000, 3_000),
      proxyGoneMs: scaled(120_000, 10_000),
      healthLeaseMs: scaled(10_000, 3_000),
      quarantineMs: scaled(300_000, 2_000),
      maxQuarantineMs: scaled(6 * 3_600_000, 60_000),
      sleepProofTimeoutMs: scaled(60_000, 5_000),
      contradictionConfirmMs: scaled(1_500, 500),
      contradictionSettleMs: scaled(30_000, 3_000),
      restartStormWindowMs: scaled(600_000, 5_000),
      busLostMs: scaled(30_000, 5_000),
      minRungTimeoutMs: scaled(10_000, 2_000),
      minConfirmMs: scaled(5_000, 1_000),
      hungAfterMs: scaled(300_000, 3_000),
      flapWindowMs: scaled(600_000, 2_000),
    },
    redfish: {
      requestTimeoutMs: scaled(10_000, 3_000),
      gracefulOffTimeoutMs: scaled(120_000, 8_000),
      confirmTimeoutMs: scaled(30_000, 3_000),
    },
  };
}

/** Telemetry is kept for a day of the series, as in production. */
export function telemetryMaxAgeMs(speed: number): number {
  return Math.max(60_000, Math.round(dayMs / speed));
}
