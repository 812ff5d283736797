import { catalog, type EventDraft, type EventType, type StreamName, type SubjectKind } from './catalog.ts';

/** Nothing outside this file spells a subject. */
const root = 'nemuri';

/** The two streams: the history (`FLEET`) and what is only of use for a while (`TELEMETRY`). */
export const streams: Readonly<Record<StreamName, { readonly subjects: readonly string[] }>> = {
  FLEET: {
    subjects: [
      `${root}.config`,
      `${root}.decision.*`,
      `${root}.state.>`,
      `${root}.operator.>`,
      `${root}.energy.*`,
      `${root}.pool.*.power`,
    ],
  },
  TELEMETRY: {
    subjects: [
      `${root}.load.>`,
      `${root}.probe.*`,
      `${root}.meter.*`,
      `${root}.heartbeat.*`,
      `${root}.lease.*`,
    ],
  },
};

/** Filters for subscribers that want one kind only. */
export const subjectFilters = {
  config: `${root}.config`,
  load: `${root}.load.>`,
  probe: `${root}.probe.*`,
  meter: `${root}.meter.*`,
  energy: `${root}.energy.*`,
  heartbeat: `${root}.heartbeat.*`,
  lease: `${root}.lease.*`,
  everything: `${root}.>`,
} as const;

/** Who publishes facts. `cli` is the operator's hand and takes the configuration in. */
export type Writer = 'proxy' | 'planner' | 'power' | 'health' | 'agent' | 'console' | 'cli';

const kindsOf: Readonly<Record<Writer, readonly SubjectKind[]>> = {
  proxy: ['load', 'traffic'],
  planner: ['decision', 'capacity', 'lease'],
  power: ['power', 'pool', 'energy', 'meter', 'lease'],
  // On behalf of servers that speak by HTTP or an agent check, it says what an agent would.
  health: ['health', 'probe', 'lease', 'heartbeat', 'agent'],
  agent: ['heartbeat', 'agent'],
  console: ['operator'],
  cli: ['config', 'operator'],
};

/**
 * The subjects that a writer publishes its facts on, as NATS patterns.
 * @param who the server of an agent; of another writer, nobody.
 */
export function subjectsWrittenBy(writer: Writer, who = '*'): string[] {
  return kindsOf[writer].flatMap((kind) => patternsOf(kind, writer, who));
}

function patternsOf(kind: SubjectKind, writer: Writer, who: string): string[] {
  switch (kind) {
    case 'config':
      return [`${root}.config`];
    case 'decision':
      return [decisionSubject('*')];
    case 'power':
      return [powerSubject('*')];
    case 'health':
      return [healthSubject('*')];
    case 'capacity':
      return [`${root}.state.*.capacity`];
    case 'traffic':
      return [`${root}.state.*.traffic.*`];
    case 'agent':
      return [`${root}.state.${who}.agent`];
    case 'operator':
      return [`${root}.operator.server.*`, `${root}.operator.pool.*`];
    case 'load':
      return [loadFilterOf('*')];
    case 'probe':
      return [subjectFilters.probe];
    case 'meter':
      return [subjectFilters.meter];
    case 'energy':
      return [subjectFilters.energy];
    case 'pool':
      return [`${root}.pool.*.power`];
    case 'heartbeat':
      return [`${root}.heartbeat.${who}`];
    case 'lease':
      return [leaseSubject(writer)];
  }
}

/** The load of one pool only, by every proxy. */
export function loadFilterOf(pool: string): string {
  return `${root}.load.${pool}.*`;
}

const streamOfKind: Readonly<Record<SubjectKind, StreamName>> = {
  config: 'FLEET',
  decision: 'FLEET',
  capacity: 'FLEET',
  power: 'FLEET',
  health: 'FLEET',
  traffic: 'FLEET',
  agent: 'FLEET',
  operator: 'FLEET',
  load: 'TELEMETRY',
  probe: 'TELEMETRY',
  meter: 'TELEMETRY',
  energy: 'FLEET',
  pool: 'FLEET',
  heartbeat: 'TELEMETRY',
  lease: 'TELEMETRY',
};

/** The stream that keeps events of this type. */
export function streamOf(type: EventType): StreamName {
  return streamOfKind[catalog[type].kind];
}

/** The subject of a pool's decisions. */
export function decisionSubject(pool: string): string {
  return `${root}.decision.${pool}`;
}

/** The subject that one writer owns for power facts of a server. */
export function powerSubject(server: string): string {
  return `${root}.state.${server}.power`;
}

/** The subject that one writer owns for health facts of a server. */
export function healthSubject(server: string): string {
  return `${root}.state.${server}.health`;
}

/** The subject on which the replicas of a service say who of them leads. */
export function leaseSubject(service: string): string {
  return `${root}.lease.${service}`;
}

/** Where a server's agent is asked. In no stream: a question that nobody hears now is gone. */
export function questionSubject(server: string): string {
  return `${root}.ask.${server}`;
}

/** The subject a fact is published on: `nemuri.<kind>.<whom it is about>[.<who says it>]`. */
export function subjectOf(event: EventDraft): string {
  const { data } = event;
  switch (catalog[event.type].kind) {
    case 'config':
      return `${root}.config`;
    case 'decision':
      return decisionSubject(field(data, 'pool'));
    case 'capacity':
      return `${root}.state.${field(data, 'server')}.capacity`;
    case 'power':
      return powerSubject(field(data, 'server'));
    case 'health':
      return healthSubject(field(data, 'server'));
    case 'traffic':
      return `${root}.state.${field(data, 'server')}.traffic.${field(data, 'proxy')}`;
    case 'agent':
      return `${root}.state.${field(data, 'server')}.agent`;
    case 'operator':
      return 'server' in data
        ? `${root}.operator.server.${data.server}`
        : `${root}.operator.pool.${field(data, 'pool')}`;
    case 'load':
      return `${root}.load.${field(data, 'pool')}.${field(data, 'proxy')}`;
    case 'probe':
      return `${root}.probe.${field(data, 'prober')}`;
    case 'meter':
      return `${root}.meter.${field(data, 'server')}`;
    case 'energy':
      return `${root}.energy.${field(data, 'pool')}`;
    case 'pool':
      return `${root}.pool.${field(data, 'pool')}.power`;
    case 'heartbeat':
      return `${root}.heartbeat.${field(data, 'server')}`;
    case 'lease':
      return leaseSubject(field(data, 'service'));
  }
}

function field(data: object, key: string): string {
  return (data as Record<string, string>)[key] as string;
}
