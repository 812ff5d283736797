import { jetstreamManager } from '@nats-io/jetstream';
import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import { Value } from '@sinclair/typebox/value';
import {
  type EventDraft,
  encode,
  type FleetConfig,
  FleetConfigSchema,
  type StreamName,
} from '../../libs/events/mod.ts';
import { type Dated, longHistory } from './longHistory.ts';

/** Published without an answer each; after so many the server is asked to have read them. */
const flushEvery = 2_000;
const sampleIntervalMs = 1_000;

/** A pool of so many servers that nobody serves on. */
export function replayConfig(servers: number): FleetConfig {
  const entries = Array.from({ length: servers }, (_, index) => {
    const url = `http://127.0.0.1:${20_000 + index}`;
    return [`s${index + 1}`, { pool: 'web', url, capacityRps: 100 }];
  });
  const minimal = { version: 1, pools: { web: {} }, servers: Object.fromEntries(entries) };
  return Value.Decode(FleetConfigSchema, Value.Default(FleetConfigSchema, minimal));
}

interface Span {
  readonly startMs: number;
  readonly endMs: number;
}

/** Stores a long history in FLEET. @throws Error when the stream does not hold all of it in the end. */
export async function fillFleet(
  url: string,
  config: FleetConfig,
  { count, startMs, endMs }: Span & { readonly count: number },
): Promise<void> {
  await fill(url, 'FLEET', longHistory(config, count, startMs, endMs), count);
}

/** Stores an hour of meters in TELEMETRY. */
export async function fillMeters(url: string, config: FleetConfig, endMs: number): Promise<void> {
  const servers = Object.keys(config.servers);
  const rounds = Math.floor(3_600_000 / config.bounds.meterIntervalMs);
  const meters = metersOf(servers, endMs, rounds, config.bounds.meterIntervalMs);
  await fill(url, 'TELEMETRY', meters, rounds * servers.length);
}

/** Stores what one proxy measured each second, for a tenth of the servers, in TELEMETRY. */
export async function fillLoad(url: string, config: FleetConfig, { startMs, endMs }: Span): Promise<void> {
  const count = Math.floor((endMs - startMs) / sampleIntervalMs);
  const servers = Object.keys(config.servers);
  await fill(url, 'TELEMETRY', loadOf(servers, startMs, count), count);
}

function* loadOf(servers: readonly string[], startMs: number, count: number): Generator<Dated> {
  const latencyMs = { p50: 3, p95: 9, p99: 20, max: 41 };
  const serving = servers.slice(0, Math.max(1, servers.length / 10));
  for (let index = 0; index < count; index += 1) {
    const timeMs = startMs + index * sampleIntervalMs;
    const arrivals = Math.round(1_000 + 800 * Math.sin(timeMs / 13_750_000) + 40 * Math.sin(index));
    const one = { inFlight: 1, completed: Math.round(arrivals / serving.length), failed: 0, latencyMs };
    const draft: EventDraft = {
      type: 'LoadSampled',
      data: {
        pool: 'web',
        proxy: 'proxy-0',
        intervalMs: sampleIntervalMs,
        arrivals,
        completed: arrivals,
        failed: 0,
        rejected: 0,
        parked: 0,
        newlyParked: 0,
        parkedOldestMs: 0,
        inFlight: 20,
        latencyMs,
        stopping: false,
        servers: Object.fromEntries(serving.map((server) => [server, one])),
      },
    };
    yield { draft, timeMs };
  }
}

function* metersOf(
  servers: readonly string[],
  endMs: number,
  rounds: number,
  intervalMs: number,
): Generator<Dated> {
  for (let round = rounds; round > 0; round -= 1) {
    for (const server of servers) {
      const about = { server, pool: 'web', powerWatts: 140 + (round % 7) };
      const data = { ...about, meter: 'measured', meterSource: 'Chassis/1/Power' } as const;
      yield { draft: { type: 'PowerMetered', data }, timeMs: endMs - round * intervalMs };
    }
  }
}

async function fill(url: string, stream: StreamName, facts: Iterable<Dated>, count: number): Promise<void> {
  const nc = await connect({ servers: url });
  const manager = await jetstreamManager(nc);
  const { state } = await manager.streams.info(stream);
  let sent = 0;
  for (const { draft, timeMs } of facts) {
    publish(nc, draft, timeMs, `bench-${draft.type}-${state.last_seq + sent}`);
    sent += 1;
    if (sent % flushEvery === 0) await nc.flush();
  }
  await nc.flush();
  let stored = 0;
  let before = -1;
  while (stored < count && stored > before) {
    before = stored;
    await nc.flush();
    stored = (await manager.streams.info(stream)).state.last_seq - state.last_seq;
  }
  await nc.close();
  if (stored < count) throw new Error(`${stream} has taken ${stored} of ${count} events`);
}

function publish(nc: NatsConnection, draft: EventDraft, timeMs: number, id: string): void {
  const encoded = encode(draft, { id, source: '/nemuri/bench', timeMs });
  const messageHeaders = headers();
  for (const [name, value] of Object.entries(encoded.headers)) messageHeaders.set(name, value);
  nc.publish(encoded.subject, encoded.payload, { headers: messageHeaders });
}
