import type { Bounds, HealthCheckConfig } from '../events/mod.ts';
import { awaitsSleepProof, type ServerState } from './server.ts';

/** Good or bad probes in a row of one server. */
export interface ProbeCount {
  readonly good: number;
  readonly bad: number;
}

export const noProbes: ProbeCount = { good: 0, bad: 0 };

export function countProbe(count: ProbeCount, ok: boolean): ProbeCount {
  return ok ? { good: count.good + 1, bad: 0 } : { good: 0, bad: count.bad + 1 };
}

/**
 * What was counted for one purpose and holds for another. To serve and to return ask the same, so bad probes go on
 * counting: else a proxy that ejects the server again and again would keep the count from ever being full. Good ones
 * are counted anew: whatever changed the purpose came after them.
 */
export function carriedCount(count: ProbeCount, from: ProbePurpose, to: ProbePurpose): ProbeCount {
  if (from === to) return count;
  return asksForService(from) && asksForService(to) ? { good: 0, bad: count.bad } : noProbes;
}

/** Does the answer to a probe that was sent for one purpose still count, now that another is due? */
export function answerCounts(ok: boolean, sentFor: ProbePurpose, now: ProbePurpose): boolean {
  return sentFor === now || (!ok && asksForService(sentFor) && asksForService(now));
}

function asksForService(purpose: ProbePurpose): boolean {
  return purpose === 'serve' || purpose === 'return';
}

/**
 * What a probe is for: `serve` asks whether a server may serve, `return` does so fast while it wakes or comes back,
 * `sleepProof` asks whether one that is off is silent, `watch` whether one that sleeps and has no readable power still
 * is, `none` leaves a sleeping server alone.
 */
export type ProbePurpose = 'serve' | 'return' | 'sleepProof' | 'watch' | 'none';

export function probePurpose(server: ServerState, nowMs: number): ProbePurpose {
  switch (server.lifecycle) {
    case 'asleep':
      return server.powerInferred ? 'watch' : 'none';
    case 'stopping':
      return server.powerState === 'off' || server.powerInferred ? 'sleepProof' : 'none';
    case 'failed':
      return server.powerState === 'off' ? 'sleepProof' : 'return';
    case 'quarantined':
      return server.powerState === 'off' ? 'none' : 'return';
    case 'waking':
      return 'return';
    case 'ready':
    case 'draining':
      return server.health === 'healthy' && nowMs >= (server.ejectedUntilMs ?? 0) ? 'serve' : 'return';
  }
}

/**
 * Time until the next probe in ms; jitter in 0..1 is drawn by the caller, so that 2,000 servers do not beat as one. A
 * server in doubt (its last probe was bad) is asked again fast.
 */
export function probeDelayMs(
  check: HealthCheckConfig,
  purpose: ProbePurpose,
  count: ProbeCount,
  jitter: number,
): number {
  const isCalm = purpose === 'watch' || (purpose === 'serve' && count.bad === 0);
  const intervalMs = isCalm ? check.intervalMs : Math.min(check.intervalMs, check.fastIntervalMs);
  return intervalMs * (1 - check.jitter / 2 + check.jitter * jitter);
}

export type HealthFact = {
  readonly type: 'ServerBecameHealthy' | 'ServerBecameUnhealthy' | 'EjectionLifted' | 'EjectionConfirmed';
  readonly consecutive: number;
};

/**
 * What the count says that the fleet does not know yet. A server that wakes is not unhealthy: it is not up yet. An
 * ejection by a proxy is confirmed, or lifted; one that comes again within `contradictionSettleMs` of a lift runs its
 * time, so that proxy and probes who disagree do not send it to and fro.
 */
export function factOfProbes(
  server: ServerState,
  count: ProbeCount,
  check: HealthCheckConfig,
  { contradictionSettleMs }: Pick<Bounds, 'contradictionSettleMs'>,
  nowMs: number,
): HealthFact | undefined {
  const { health, ejectedUntilMs, ejectionLiftedAtMs } = server;
  if (count.good >= check.rise && health !== 'healthy') {
    return { type: 'ServerBecameHealthy', consecutive: count.good };
  }
  const shouldServe = server.lifecycle === 'ready' || server.lifecycle === 'draining';
  // One that answered before its hardware said on would serve as soon as that does: its word has to be taken back.
  const isNews = shouldServe ? health !== 'unhealthy' : health === 'healthy';
  if (count.bad >= check.fall && isNews) {
    return { type: 'ServerBecameUnhealthy', consecutive: count.bad };
  }
  if (!shouldServe || ejectedUntilMs === undefined || nowMs >= ejectedUntilMs) return undefined;
  if (count.bad >= check.fall) return { type: 'EjectionConfirmed', consecutive: count.bad };
  const isAgain = ejectionLiftedAtMs !== undefined && nowMs - ejectionLiftedAtMs < contradictionSettleMs;
  return count.good >= check.rise && !isAgain
    ? { type: 'EjectionLifted', consecutive: count.good }
    : undefined;
}

export type SleepProof = { readonly type: 'SleepVerified' | 'SleepContradicted' } | undefined;

/**
 * Rule 6: a sleep is proven when the hardware is off and the server silent, to a probe and by itself. One that still
 * speaks when `sleepProofTimeoutMs` have passed contradicts its hardware. Where no power can be read, silence for
 * `sleepSilenceMs` after the power-off is the proof, and a word out of that sleep the contradiction.
 * @param silentForMs since the first of the probes in a row that got no answer; 0 when it answered.
 * @param spoke did it answer a probe, or was a heartbeat of it heard?
 */
export function proofOfSleep(
  server: ServerState,
  silentForMs: number,
  spoke: boolean,
  bounds: Pick<Bounds, 'sleepProofTimeoutMs' | 'sleepSilenceMs'>,
  nowMs: number,
): SleepProof {
  if (server.powerInferred) {
    if (spoke) return server.lifecycle === 'asleep' ? { type: 'SleepContradicted' } : undefined;
    const isProven = awaitsSleepProof(server) && silentForMs >= bounds.sleepSilenceMs;
    return isProven ? { type: 'SleepVerified' } : undefined;
  }
  if (server.powerState !== 'off') return undefined;
  if (!spoke) return awaitsSleepProof(server) ? { type: 'SleepVerified' } : undefined;
  const overdue = nowMs - server.sinceMs >= bounds.sleepProofTimeoutMs;
  return overdue && server.lifecycle === 'stopping' ? { type: 'SleepContradicted' } : undefined;
}
