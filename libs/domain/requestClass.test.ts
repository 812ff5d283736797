import { classOf, expectedReadyInMs, type RequestClass } from './requestClass.ts';
import { newServer, type ServerState } from './server.ts';
import { fleetConfig } from './testing/builders.ts';

const monitors = fleetConfig({ pool: { parking: { monitors: { paths: ['/health'] } } } }).pools.web?.parking
  .monitors;
const html = 'text/html,application/xhtml+xml';

test.each<[string, string | undefined, string | undefined, RequestClass]>([
  ['/', 'Mozilla/5.0 (X11; Linux) Firefox/140.0', html, 'browser'],
  ['/logo.png', 'Mozilla/5.0 (X11; Linux) Firefox/140.0', 'image/*', 'program'],
  ['/api', 'curl/8.5', '*/*', 'program'],
  ['/api', undefined, undefined, 'program'],
  ['/', 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', html, 'monitor'],
  ['/', 'kube-probe/1.31', '*/*', 'monitor'],
  ['/', 'UptimeRobot/2.0', html, 'monitor'],
  ['/health?x=1', 'curl/8.5', '*/*', 'monitor'],
  ['/healthy', 'curl/8.5', '*/*', 'program'],
])('%s by %s that takes %s: %s', (target, userAgent, accept, expected) => {
  if (!monitors) throw new Error('no pool');
  expect(classOf({ method: 'GET', target, userAgent, accept }, monitors)).toBe(expected);
});

const server = (change: Partial<ServerState>): ServerState => ({ ...newServer('s1', 'web', 0), ...change });
const wake = { wakeId: 'w1', requestedAtMs: 1_000 } as NonNullable<ServerState['wake']>;

test.each<[string, ServerState[], number | undefined]>([
  ['nothing is remembered', [server({})], undefined],
  [
    'asleep: the quantile of all setups',
    [server({ setupTimesMs: [10_000, 30_000] }), server({ setupTimesMs: [20_000] })],
    30_000,
  ],
  ['a wake is under way', [server({ lifecycle: 'waking', setupTimesMs: [30_000], wake })], 27_000],
  ['a wake takes longer than ever', [server({ lifecycle: 'waking', setupTimesMs: [1_000], wake })], 0],
])('expected to be ready when %s', (_what, servers, expected) => {
  expect(expectedReadyInMs(servers, 4_000, 0.9)).toBe(expected);
});
