import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance } from 'fastify';
import type { Bus } from '../../libs/bus/mod.ts';
import { type Fleet, hourMs } from '../../libs/domain/mod.ts';
import { catalog, NamePattern, type SubjectKind } from '../../libs/events/mod.ts';
import { ProblemError } from '../../libs/runtime/errors.ts';
import { openHistory } from '../../libs/runtime/history.ts';
import { alternativesOf } from './alternatives.ts';
import type { NeedSession } from './http.ts';
import { parsed } from './parsed.ts';
import { readOne, readPast } from './pastEvents.ts';
import type { SavingsBook } from './savings.ts';
import { byNumber, tileOf } from './tile.ts';
import type { TraceStore } from './traces.ts';

export interface LookOptions {
  readonly app: FastifyInstance;
  readonly needSession: NeedSession;
  readonly bus: Bus;
  readonly fleet: () => Fleet;
  readonly savings: SavingsBook;
  readonly traces: TraceStore;
  readonly nowMs: () => number;
}

const kinds = [...new Set(Object.values(catalog).map(({ kind }) => kind))];
const Sequence = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const PastSchema = Type.Object({
  before: Type.Optional(Sequence),
  kind: Type.Optional(Type.Union(kinds.map((kind) => Type.Literal(kind)))),
  server: Type.Optional(Type.String({ pattern: NamePattern })),
  text: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
});
const SequenceSchema = Type.Object({ sequence: Sequence });
const TraceSchema = Type.Object({ traceId: Type.String({ pattern: '^[0-9a-f]{32}$' }) });
const MomentSchema = Type.Union([
  Type.Object({ sequence: Sequence }, { additionalProperties: false }),
  Type.Object({ timeMs: Type.Number({ minimum: 0, maximum: 8.64e15 }) }, { additionalProperties: false }),
]);
const HoursSchema = Type.Object({ hours: Type.Integer({ minimum: 1, maximum: 31 * 24 }) });
const defaultLimit = 50;
const dayMs = 24 * hourMs;

/** What can be looked at: the past, one fact, the savings, the traces. Nothing here changes anything. */
export function addLookApi(options: LookOptions): void {
  const { app, needSession, bus, fleet, savings, traces, nowMs } = options;

  app.get('/api/events', async (request) => {
    needSession(request);
    const { before, kind, server, text, limit } = query(PastSchema, request.query);
    return readPast(bus, {
      before: before ?? Number.MAX_SAFE_INTEGER,
      limit: limit ?? defaultLimit,
      ...(kind === undefined ? {} : { kind: kind as SubjectKind }),
      ...(server === undefined ? {} : { server }),
      ...(text === undefined ? {} : { text }),
    });
  });
  app.get('/api/events/:sequence', async (request) => {
    needSession(request);
    const { sequence } = query(SequenceSchema, request.params);
    const event = await readOne(bus, sequence);
    if (!event) throw new ProblemError('NEMURI_NOT_FOUND', `no fact ${sequence} in the history`);
    const { config } = fleet();
    const alternatives =
      event.type === 'CapacityDecided' && config ? alternativesOf(event.data, config) : undefined;
    return { event, alternatives };
  });
  const history = openHistory(bus, { snapshots: ['console', 'planner', 'power', 'health', 'cli'] });
  app.get('/api/fleet', async (request) => {
    needSession(request);
    const at = await history.fleetAt(query(MomentSchema, request.query));
    const firstMs = (await firstFactMs(bus)) ?? nowMs();
    const tiles = Object.keys(at.fleet.servers)
      .sort(byNumber)
      .flatMap((name) => tileOf(at.fleet, name, {}, at.timeMs) ?? []);
    return { sequence: at.sequence, timeMs: at.timeMs, firstMs, tiles, gap: at.gap };
  });
  app.get('/api/savings', async (request) => {
    needSession(request);
    const { config } = fleet();
    if (!config) return {};
    const midnight = new Date(nowMs()).setHours(0, 0, 0, 0);
    return {
      today: savings.since(midnight, config),
      week: savings.since(nowMs() - 7 * dayMs, config),
      month: savings.since(nowMs() - 30 * dayMs, config),
    };
  });
  app.get('/api/hours', async (request) => {
    needSession(request);
    const { hours } = query(HoursSchema, request.query);
    const { config } = fleet();
    return { pools: config ? savings.hoursSince(nowMs() - hours * hourMs, config) : {} };
  });
  app.get('/api/traces', async (request) => {
    needSession(request);
    return { traces: traces.list() };
  });
  app.get('/api/traces/:traceId', async (request) => {
    needSession(request);
    const { traceId } = query(TraceSchema, request.params);
    const spans = traces.spans(traceId);
    if (!spans) throw new ProblemError('NEMURI_NOT_FOUND', `no spans of trace ${traceId} are kept here`);
    return { traceId, spans };
  });
}

/** When the history begins: its first fact that is still kept. */
async function firstFactMs(bus: Bus): Promise<number | undefined> {
  if ((await bus.lastSequence('FLEET')) === 0) return undefined;
  for await (const { storedMs } of bus.history('FLEET', 1)) return Math.ceil(storedMs);
  return undefined;
}

/** Texts of a query or path, made what the schema says they are. */
export function query<S extends Parameters<typeof parsed>[0]>(schema: S, value: unknown): Static<S> {
  return parsed(schema, Value.Convert(schema, structuredClone({ ...(value as object) })));
}
