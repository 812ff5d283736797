import { fleetConfig, sampleData } from '../../../libs/domain/testing/builders.ts';
import type { EventOf, RecordedEvent } from '../../../libs/events/mod.ts';
import type { RunningService } from '../../../libs/runtime/service.ts';
import { createHarness, type Harness } from '../../testing/harness.ts';
import { startPower } from '../power.ts';
import { type FakeMachines, fakeMachines } from './fakeMachine.ts';

const bounds = {
  reconcileIntervalMs: 20,
  meterIntervalMs: 20,
  busLostMs: 100,
  maxConcurrentWakes: 1,
  proxyLeaseMs: 60_000,
  healthLeaseMs: 60_000,
  minConfirmMs: 50,
  minRungTimeoutMs: 50,
  maxActionsPerMinute: 60,
};
const pool = { minServers: 1, planner: { minAwakeMs: 0, leaseMs: 60_000 } };
const latencyMs = { p50: 1, p95: 1, p99: 1, max: 1 };
const { inputs } = sampleData.CapacityDecided;

type Type = RecordedEvent['type'];

export const isType =
  <T extends Type>(type: T, server?: string) =>
  (event: RecordedEvent): event is EventOf<T> =>
    event.type === type && (server === undefined || ('server' in event.data && event.data.server === server));

/** A power service on fake machines; the test plays planner, proxy and health. */
export interface Scene {
  readonly harness: Harness;
  machines: FakeMachines;
  power: RunningService | undefined;
  start(servers: number, overrides?: Parameters<typeof fleetConfig>[0]): Promise<void>;
  /** The first fact of this type, past or to come. */
  next<T extends Type>(type: T, server?: string, from?: number): Promise<EventOf<T>>;
  decide(...target: string[]): Promise<void>;
  /** One proxy and the health service are alive. */
  witnesses(): Promise<void>;
  /** A probe says that it serves. */
  serve(server: string): Promise<void>;
  /** The hardware was seen to be on, and a probe says that it serves; or off, and silent. */
  becomeReady(...servers: string[]): Promise<void>;
  becomeAsleep(...servers: string[]): Promise<void>;
  /** Every proxy has drained the sleep that was asked for last. */
  drained(server: string, from?: number): Promise<void>;
  close(): Promise<void>;
}

export function createScene(): Scene {
  const harness = createHarness();
  const scene: Scene = {
    harness,
    machines: fakeMachines('on'),
    power: undefined,
    async start(servers, overrides = {}) {
      const config = fleetConfig({
        ...overrides,
        servers,
        pool: { ...pool, ...overrides.pool },
        bounds: { ...bounds, ...overrides.bounds },
        method: { confirmTimeoutMs: 200, tries: 2, ...overrides.method },
      });
      await harness.configure(config);
      scene.power = await startPower(harness.context('power'), scene.machines.make);
    },
    next: (type, server, from) => harness.nextEvent('FLEET', isType(type, server), from),
    async decide(...target) {
      const data = { pool: 'web', target, inputs, forecastRps: 1, validForMs: 60_000, reason: 'test' };
      await harness.publish({ type: 'CapacityDecided', data });
    },
    async witnesses() {
      const counts = { arrivals: 0, completed: 0, failed: 0, rejected: 0, parked: 0, newlyParked: 0 };
      const load = { ...counts, intervalMs: 50, parkedOldestMs: 0, inFlight: 0, latencyMs, servers: {} };
      await harness.publish({
        type: 'LoadSampled',
        data: { ...load, pool: 'web', proxy: 'p1', stopping: false },
      });
      await harness.publish({
        type: 'ProbesSampled',
        data: { prober: 'health', intervalMs: 50, sent: 1, failed: 0, latencyMs },
      });
    },
    async serve(server) {
      const data = { server, pool: 'web', latencyMs: 1, consecutive: 2 };
      await harness.publish({ type: 'ServerBecameHealthy', data });
    },
    async becomeReady(...servers) {
      for (const server of servers) {
        await scene.next('ServerPoweredOn', server);
        await scene.serve(server);
      }
    },
    async becomeAsleep(...servers) {
      for (const server of servers) {
        await scene.next('ServerPoweredOff', server);
        await harness.publish({ type: 'SleepVerified', data: { server, pool: 'web', evidence: 'test' } });
      }
    },
    async drained(server, from) {
      const { data } = await scene.next('SleepRequested', server, from);
      const drain = { server, pool: 'web', proxy: 'p1', sleepId: data.sleepId };
      await harness.publish({ type: 'ServerDrained', data: { ...drain, elapsedMs: 5 } });
    },
    async close() {
      await scene.power?.stop();
      await harness.close();
    },
  };
  return scene;
}
