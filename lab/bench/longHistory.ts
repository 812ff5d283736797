import type { EventDraft, FleetConfig } from '../../libs/events/mod.ts';

/** A fact and when it happened, in epoch ms. */
export interface Dated {
  readonly draft: EventDraft;
  readonly timeMs: number;
}

const pool = 'web';

/**
 * The history of a pool whose servers sleep and wake in turns: a decision, and then one server's way down or up with
 * every fact that the services publish on it. The same arguments give the same history.
 * @param count how many facts. @param startMs epoch ms of the first. @param endMs of the last.
 */
export function* longHistory(
  config: FleetConfig,
  count: number,
  startMs: number,
  endMs: number,
): Generator<Dated> {
  const stepMs = (endMs - startMs) / Math.max(1, count - 1);
  let made = 0;
  const dated = (draft: EventDraft): Dated => {
    const timeMs = Math.round(startMs + made * stepMs);
    made += 1;
    return { draft, timeMs };
  };
  yield dated({ type: 'FleetConfigured', data: { config, origin: 'bench' } });
  const servers = Object.keys(config.servers);
  const awake = new Set<string>();
  let hourMs = Math.ceil(startMs / 3_600_000) * 3_600_000;
  for (let turn = 0; ; turn += 1) {
    const server = servers[turn % servers.length] ?? '';
    const facts = awake.delete(server) ? sleepOf(server, turn) : wakeOf(server, turn);
    if (facts[0]?.type === 'WakeRequested') awake.add(server);
    const nowMs = startMs + made * stepMs;
    for (; hourMs + 3_600_000 <= nowMs && made < count; hourMs += 3_600_000)
      yield dated(energyOf(servers, hourMs));
    for (const draft of [decision([...awake]), ...facts]) {
      if (made >= count) return;
      yield dated(draft);
    }
  }
}

function decision(target: readonly string[]): EventDraft {
  const counted = target.length;
  const inputs = {
    nowRps: counted * 70,
    levelRps: counted * 68,
    keepRps: counted * 72,
    risk: 0.001,
    horizonMs: 60_000,
    parked: 0,
    inFlight: counted,
    proxies: 2,
    observedForMs: 86_400_000,
    neededServers: counted,
    keptServers: counted,
    capacityRps: counted * 100,
    countedServers: counted,
    floor: 1,
    spareServers: 0,
    headroom: 0.2,
    breakEvenMs: 180_000,
  };
  const reason = `${counted} servers for up to ${counted * 75} requests/s in 60 s`;
  return {
    type: 'CapacityDecided',
    data: { pool, target: [...target], inputs, forecastRps: counted * 75, validForMs: 30_000, reason },
  };
}

function energyOf(servers: readonly string[], fromMs: number): EventDraft {
  const one = { energyWh: 70.5, modelledWh: 0, gapMs: 0, coveredMs: 3_600_000 };
  const toMs = fromMs + 3_600_000;
  const all = Object.fromEntries(servers.map((server) => [server, one]));
  return {
    type: 'EnergyAccounted',
    data: { pool, fromMs, toMs, servers: all, requests: 4_000_000, alwaysOnWh: servers.length * 140 },
  };
}

function wakeOf(server: string, turn: number): EventDraft[] {
  const about = { server, pool };
  const wakeId = `w${turn}`;
  const attempt = { ...about, wakeId, rung: 0, attempt: 1, driver: 'redfish' };
  return [
    { type: 'WakeRequested', data: { ...about, wakeId, reason: 'wanted by the decision' } },
    { type: 'WakeAttempted', data: attempt },
    { type: 'ServerPoweredOn', data: { ...about, wakeId } },
    { type: 'ServerBecameHealthy', data: { ...about, latencyMs: 3, consecutive: 2 } },
  ];
}

function sleepOf(server: string, turn: number): EventDraft[] {
  const about = { server, pool };
  const sleepId = `z${turn}`;
  const drain = { ...about, proxy: 'proxy-0', sleepId };
  return [
    { type: 'SleepRequested', data: { ...about, sleepId, drainTimeoutMs: 30_000, reason: 'not wanted' } },
    { type: 'ServerDrainStarted', data: { ...drain, inFlight: 2 } },
    { type: 'ServerDrained', data: { ...drain, elapsedMs: 800 } },
    { type: 'SleepAttempted', data: { ...about, sleepId, attempt: 1, driver: 'redfish', forced: false } },
    { type: 'ServerPoweredOff', data: { ...about, sleepId } },
    { type: 'SleepVerified', data: { ...about, evidence: 'hardware off; probe: ECONNREFUSED' } },
  ];
}
