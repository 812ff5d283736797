import type { DraftOf } from '../../events/mod.ts';
import type { Bus } from '../bus.ts';

/** Small valid events for tests of the bus. */
export function cordoned(server: string, reason = 'a test'): DraftOf<'ServerCordoned'> {
  return { type: 'ServerCordoned', data: { server, reason, by: 'tester' } };
}

export function poweredOn(server: string): DraftOf<'ServerPoweredOn'> {
  return { type: 'ServerPoweredOn', data: { server, pool: 'web' } };
}

export function metered(server: string, powerWatts: number): DraftOf<'PowerMetered'> {
  return {
    type: 'PowerMetered',
    data: { server, pool: 'web', powerWatts, meter: 'modelled', meterSource: 'test' },
  };
}

export function probed(prober: string): DraftOf<'ProbesSampled'> {
  const latencyMs = { p50: 1, p95: 1, p99: 1, max: 1 };
  return { type: 'ProbesSampled', data: { prober, intervalMs: 1_000, sent: 1, failed: 0, latencyMs } };
}

/** Publishes `count` events of the servers s1, s2, …, one after the other. */
export async function cordonMany(bus: Bus, count: number): Promise<void> {
  for (let number = 1; number <= count; number += 1) await bus.publish(cordoned(`s${number}`));
}
