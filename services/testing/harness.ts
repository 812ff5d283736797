import { type Bus, createMemoryStore, type MemoryStore, openMemoryBus } from '../../libs/bus/mod.ts';
import type { EventDraft, FleetConfig, RecordedEvent, StreamName } from '../../libs/events/mod.ts';
import { systemChance, systemClock } from '../../libs/runtime/clock.ts';
import { createLogger } from '../../libs/runtime/log.ts';
import type { ServiceContext } from '../../libs/runtime/service.ts';

/** A bus that a service under test shares with its test. */
export interface Harness {
  readonly store: MemoryStore;
  /** The test's own handle: it plays the other services. */
  readonly bus: Bus;
  context(service: string): ServiceContext;
  publish(draft: EventDraft): Promise<void>;
  configure(config: FleetConfig): Promise<void>;
  /** The first event, past or to come, that fits. Rejects after 10 s, saying what came instead. */
  nextEvent<E extends RecordedEvent>(
    stream: StreamName,
    fits: (event: RecordedEvent) => event is E,
    fromSequence?: number,
  ): Promise<E>;
  close(): Promise<void>;
}

const patienceMs = 10_000;

/** What a service of this name is started with, on any bus. */
export function contextOn(bus: Bus, service: string): ServiceContext {
  return {
    settings: {
      service,
      name: service,
      natsUrls: [],
      adminHost: '127.0.0.1',
      adminPort: 0,
      logLevel: 'silent',
      stopTimeoutMs: 5_100,
    },
    bus,
    log: createLogger(service, service, 'silent'),
    telemetry: { enabled: false, stop: async () => {} },
    nowMs: Date.now,
    clock: systemClock,
    chance: systemChance,
  };
}

export function createHarness(): Harness {
  const store = createMemoryStore();
  const bus = openMemoryBus(store, { source: 'test' });
  const buses: Bus[] = [bus];
  const publish = async (draft: EventDraft) => void (await bus.publish(draft));
  return {
    store,
    bus,
    context(service) {
      const own = openMemoryBus(store, { source: service });
      buses.push(own);
      return contextOn(own, service);
    },
    publish,
    configure: (config) => publish({ type: 'FleetConfigured', data: { config, origin: 'test' } }),
    async nextEvent(stream, fits, fromSequence = 1) {
      const seen: string[] = [];
      return new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`no such event; seen: ${seen.join(', ')}`)),
          patienceMs,
        );
        const subscribed = bus.subscribe({
          stream,
          startAt: { sequence: fromSequence },
          onEvent: (event) => {
            seen.push(event.type);
            if (!fits(event)) return;
            clearTimeout(timer);
            void subscribed.then((subscription) => subscription.stop());
            resolve(event);
          },
        });
      });
    },
    async close() {
      await Promise.all(buses.map((one) => one.close()));
    },
  };
}
