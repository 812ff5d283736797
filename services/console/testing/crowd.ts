import type { Bus } from '../../../libs/bus/mod.ts';
import { draftOf, serverNames } from '../../../libs/domain/testing/builders.ts';
import type { EventDraft } from '../../../libs/events/mod.ts';

/** Many servers that are on and healthy, every third of them asleep. */
export async function wakeCrowd(bus: Bus, count: number): Promise<void> {
  const become = async (server: string, facts: readonly EventDraft[]) => {
    for (const fact of facts) await bus.publish(fact);
    return server;
  };
  const all = serverNames(count).map((server, index) => {
    const sleepId = `z-${server}`;
    const asleep: EventDraft[] = [
      draftOf('SleepRequested', { server, sleepId }),
      draftOf('SleepAttempted', { server, sleepId }),
      draftOf('ServerPoweredOff', { server }),
      draftOf('SleepVerified', { server }),
    ];
    const ready: EventDraft[] = [
      draftOf('ServerPoweredOn', { server }),
      draftOf('ServerBecameHealthy', { server }),
    ];
    return become(server, index % 3 === 2 ? asleep : ready);
  });
  await Promise.all(all);
}

/** One round of what a crowd says: the load of every server, the watts of some, and one that falls ill or recovers. */
export async function crowdRound(bus: Bus, count: number, round: number): Promise<void> {
  const names = serverNames(count);
  const { latencyMs } = { latencyMs: { p50: 20, p95: 60, p99: 90, max: 120 } };
  const servers = Object.fromEntries(
    names.map((server, index) => {
      const completed = index % 3 === 2 ? 0 : (index * 7 + round * 3) % 25;
      return [server, { inFlight: completed % 9, completed, failed: 0, latencyMs }];
    }),
  );
  const completed = Object.values(servers).reduce((sum, one) => sum + one.completed, 0);
  const metered = names.filter((_name, index) => (index + round) % 8 === 0);
  const ill = names[(round * 37) % count] ?? 's1';
  await Promise.all([
    bus.publish(
      draftOf('LoadSampled', { intervalMs: 250, arrivals: completed, completed, latencyMs, servers }),
    ),
    ...metered.map((server) =>
      bus.publish(draftOf('PowerMetered', { server, powerWatts: 120 + ((round * 13) % 80) })),
    ),
    bus.publish(
      round % 2 === 0
        ? draftOf('ServerBecameUnhealthy', { server: ill, reason: 'probe timed out' })
        : draftOf('ServerBecameHealthy', { server: ill }),
    ),
  ]);
}
