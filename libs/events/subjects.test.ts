import { catalog, type EventDraft, type EventType, eventTypes } from './catalog.ts';
import { healthSubject, powerSubject, streamOf, streams, subjectFilters, subjectOf } from './subjects.ts';

const data = { server: 's1', pool: 'web', proxy: 'p1', prober: 'h1' };
const ofPool = { pool: 'web' };
const ofServer = { server: 's1' };

/** The table of DESIGN.md, row by row. */
test.each<[EventType, object, string, string]>([
  ['FleetConfigured', {}, 'FLEET', 'nemuri.config'],
  ['CapacityDecided', data, 'FLEET', 'nemuri.decision.web'],
  ['WakeRequested', data, 'FLEET', 'nemuri.state.s1.power'],
  ['ServerPoweredOff', data, 'FLEET', 'nemuri.state.s1.power'],
  ['ServerBecameHealthy', data, 'FLEET', 'nemuri.state.s1.health'],
  ['SleepVerified', data, 'FLEET', 'nemuri.state.s1.health'],
  ['HeartbeatLost', data, 'FLEET', 'nemuri.state.s1.health'],
  ['ServerShutdownAnnounced', data, 'FLEET', 'nemuri.state.s1.agent'],
  ['ServerDrained', data, 'FLEET', 'nemuri.state.s1.traffic.p1'],
  ['ServerEjected', data, 'FLEET', 'nemuri.state.s1.traffic.p1'],
  ['ServerCordoned', ofServer, 'FLEET', 'nemuri.operator.server.s1'],
  ['TargetPinned', ofPool, 'FLEET', 'nemuri.operator.pool.web'],
  ['FailAwakeStarted', ofPool, 'FLEET', 'nemuri.pool.web.power'],
  ['LoadSampled', data, 'TELEMETRY', 'nemuri.load.web.p1'],
  ['ProbesSampled', data, 'TELEMETRY', 'nemuri.probe.h1'],
  ['HeartbeatSent', data, 'TELEMETRY', 'nemuri.heartbeat.s1'],
  ['PowerMetered', data, 'TELEMETRY', 'nemuri.meter.s1'],
])('%s', (type, about, stream, subject) => {
  expect(streamOf(type)).toBe(stream);
  expect(subjectOf({ type, data: about } as EventDraft)).toBe(subject);
});

/** NATS: `*` stands for one token, `>` for one or more at the end. */
function matches(filter: string, subject: string): boolean {
  const tokens = filter.split('.').map((token) => (token === '*' ? '[^.]+' : token.replace('>', '.+')));
  return new RegExp(`^${tokens.join('\\.')}$`).test(subject);
}

test.each(eventTypes)('%s goes to one stream, the one it belongs to', (type) => {
  const about = catalog[type].kind === 'operator' && /^(Server)/.test(type) ? ofServer : data;
  const subject = subjectOf({ type, data: about } as EventDraft);
  const taking = Object.entries(streams).filter(([, { subjects }]) =>
    subjects.some((one) => matches(one, subject)),
  );
  expect(taking.map(([name]) => name)).toEqual([streamOf(type)]);
  expect(matches(subjectFilters.everything, subject)).toBe(true);
});

test('the filters of telemetry take their kind only', () => {
  const subjects = (['LoadSampled', 'ProbesSampled', 'PowerMetered'] as const).map((type) =>
    subjectOf({ type, data } as unknown as EventDraft),
  );
  const taken = [subjectFilters.load, subjectFilters.probe, subjectFilters.meter].map((filter) =>
    subjects.map((subject) => matches(filter, subject)),
  );
  expect(taken).toEqual([
    [true, false, false],
    [false, true, false],
    [false, false, true],
  ]);
});

test('one writer, one subject: power and health facts of a server do not share one', () => {
  expect([powerSubject('s1'), healthSubject('s1')]).toEqual([
    'nemuri.state.s1.power',
    'nemuri.state.s1.health',
  ]);
});
