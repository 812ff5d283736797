import { execFile } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setInterval } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createCertificate } from '../../lab/rack/certificate.ts';
import { rackConfig, rackConfigYaml } from '../../lab/rack/config.ts';
import { daySettings } from '../../lab/rack/day.ts';
import { type BmcFault, type Rack, startRack } from '../../lab/rack/rack.ts';
import { seededRandom } from '../../lab/rack/random.ts';
import type { EventType, RecordedEvent, StreamName } from '../../libs/events/mod.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { type Stack, startStack } from '../../libs/runtime/stack.ts';

/**
 * All services as real processes on a virtual rack that misbehaves, under load: no server counts that does not serve,
 * no request is lost, a fact names what happened, and nobody has to come. At last: the BMC secret is nowhere to be
 * found in what all of that wrote. Needs `npm run build`.
 */

const patienceMs = 15_000;
const secret = 'Zaubertrank-4711-of-the-BMC';
const sick = 'server-1';
/** It is woken by magic packets, of which three in ten are lost. */
const woken = 'server-4';

let folder: string;
let rack: Rack;
let stack: Stack;
let view: FleetView;
let receiver: Server;
let address: string;
let card: Socket;
let packetsLost = 0;
let load: { stop(): Promise<void>; readonly lost: readonly string[]; readonly answered: number };
const written: string[] = [];
const spans: string[] = [];
const events: RecordedEvent[] = [];
/** Moments at which the fleet held a server for ready that did not serve, or had not just ceased to. */
const wronglyCounted: string[] = [];
/** A probe's answer is on its way for so long at most: its server may have gone down behind it. */
const justCeasedMs = 1_000;
const servedAtMs = new Map<string, number>();
let looking: NodeJS.Timeout;

function look(): void {
  for (const { name } of rack.servers)
    if (rack.status(name).state === 'serving') servedAtMs.set(name, Date.now());
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemuri-faults-'));
  receiver = createServer(async (request, response) => {
    for await (const chunk of request) spans.push(String(chunk));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  rack = await startRack({
    servers: 4,
    setupTimeMs: 600,
    poweringOnMs: 100,
    shutdownMs: 100,
    directory: folder,
    password: secret,
  });
  const lan = await startCard();
  const config = rackConfig(rack, {
    ...daySettings,
    password: 'env:TEST_BMC_PASSWORD',
    wakeTimeoutMs: 6_000,
    bounds: {
      ...daySettings.bounds,
      quarantineMs: 500,
      minConfirmMs: 500,
      minRungTimeoutMs: 4_000,
      maxActionsPerMinute: 60,
    },
    redfish: { requestTimeoutMs: 500, gracefulOffTimeoutMs: 3_000, confirmTimeoutMs: 1_000, tries: 4 },
  });
  const ladder = config.servers[woken] as { power: object[] };
  const wol = {
    driver: 'wol',
    macs: ['52:54:00:12:34:56'],
    broadcasts: ['127.0.0.1'],
    ports: [lan],
    packets: 1,
  };
  ladder.power.unshift({ ...wol, tries: 8, confirmTimeoutMs: 1_000 });
  const configFile = join(folder, 'nemuri.yaml');
  await writeFile(configFile, rackConfigYaml(config));
  const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
  address = `http://${listen}/`;
  stack = await startStack({
    distDir: 'dist',
    configFile,
    storeDir: join(folder, 'nats'),
    listen,
    adminListen: '127.0.0.1:0',
    env: {
      TEST_BMC_PASSWORD: secret,
      NEMURI_LOG_LEVEL: 'debug',
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '50',
      NEMURI_TRACE_SAMPLE_RATIO: '1',
    },
    onLine: (source, line) => void written.push(`${source} ${line}`),
  });
  // Five processes start at once, on a computer that does other things too.
  const started = AbortSignal.timeout(45_000);
  await Promise.all(Object.values(stack.services).map((service) => service.whenStarted(started)));
  looking = globalThis.setInterval(look, 20);
  view = await openFleetView({ bus: stack.bus, name: 'check', onProblem: () => {} });
  view.onChange((event, fleet) => {
    events.push(event);
    if (event.type !== 'ServerBecameHealthy') return;
    const { server } = event.data;
    look();
    const ceasedForMs = Date.now() - (servedAtMs.get(server) ?? 0);
    if (fleet.servers[server]?.lifecycle === 'ready' && ceasedForMs > justCeasedMs)
      wronglyCounted.push(`${server} ${event.sequence}`);
  });
  await whenFleet(
    'all are ready',
    (state) => state.lifecycle === 'ready',
    ...rack.servers.map(({ name }) => name),
  );
  // Two stay whatever the load: the third is the one that things happen to.
  for (const server of ['server-2', 'server-3']) {
    const data = { server, untilMs: Date.now() + 3_600_000, reason: 'test', by: 'test' };
    await stack.bus.publish({ type: 'WakeOrdered', data });
  }
  load = startLoad();
}, 90_000);

afterAll(async () => {
  clearInterval(looking);
  await load?.stop();
  await view?.close();
  await stack?.stop();
  await rack?.stop();
  card?.close();
  receiver?.closeAllConnections();
  receiver?.close();
  await rm(folder, { recursive: true, force: true });
}, 90_000);

/** The network card of `woken`: a magic packet that reaches it switches it on. */
async function startCard(): Promise<number> {
  const random = seededRandom(4);
  card = createSocket('udp4', () => {
    if (random() < 0.3) packetsLost += 1;
    else if (rack.status(woken).state === 'off') rack.pressButton(woken);
  });
  card.bind(0, '127.0.0.1');
  await once(card, 'listening');
  return card.address().port;
}

type State = FleetView['fleet']['servers'][string];

async function whenFleet(
  what: string,
  holds: (state: State) => boolean,
  ...servers: string[]
): Promise<void> {
  const all = ({ servers: states }: FleetView['fleet']) =>
    servers.every((server) => {
      const state = states[server];
      return state !== undefined && holds(state);
    });
  await view.when(all, AbortSignal.timeout(patienceMs)).catch(() => {
    const told = events.filter(({ type }) => type !== 'CapacityDecided').slice(-25);
    const seen = told.map(({ type, data }) => `${type} ${JSON.stringify(data).slice(0, 160)}`);
    throw new Error(`never: ${what}; the last events:\n${seen.join('\n')}`);
  });
}

/** One request after the other, so that each loss is seen. */
function startLoad() {
  const lost: string[] = [];
  let answered = 0;
  let running = true;
  const done = (async () => {
    for await (const _tick of setInterval(20)) {
      if (!running) return;
      const response = await fetch(address, { signal: AbortSignal.timeout(patienceMs) }).catch(String);
      if (typeof response === 'string') lost.push(response);
      else {
        await response.arrayBuffer();
        if (response.ok) answered += 1;
        else lost.push(String(response.status));
      }
    }
  })();
  return {
    lost,
    get answered() {
      return answered;
    },
    async stop() {
      running = false;
      await done;
    },
  };
}

async function order(type: 'WakeOrdered' | 'SleepOrdered', forMs: number, server = sick): Promise<void> {
  const data = { server, untilMs: Date.now() + forMs, reason: 'test', by: 'test' };
  await stack.bus.publish({ type, data });
}

async function putToSleep(server = sick): Promise<void> {
  rack.setFaults(server, []);
  await order('WakeOrdered', patienceMs, server);
  await whenFleet('it is ready', (state) => state.lifecycle === 'ready', server);
  await order('SleepOrdered', patienceMs, server);
  await whenFleet('it is asleep', (state) => state.lifecycle === 'asleep', server);
}

/** The types of the facts about a server since then. */
function factsSince(sequence: number, server = sick): EventType[] {
  return events
    .filter((event) => event.sequence > sequence && 'server' in event.data && event.data.server === server)
    .map(({ type }) => type);
}

/**
 * What has to hold after each fault: it is back without a person and serves, facts name what happened, no server
 * counted that did not serve, and no request was lost.
 */
function expectWell(before: number, named: readonly EventType[], server = sick): void {
  expect(view.fleet.servers[server]?.lifecycle).toBe('ready');
  expect(rack.status(server).state).toBe('serving');
  expect(factsSince(before, server)).toEqual(expect.arrayContaining([...named]));
  expect({ wronglyCounted, lost: load.lost }).toEqual({ wronglyCounted: [], lost: [] });
}

const hiccup = (fault: BmcFault): BmcFault[] => [{ on: 'reset', times: 1, ...fault }];
test.each<[string, BmcFault[], EventType | undefined]>([
  ['a BMC that hangs', hiccup({ kind: 'hang' }), 'WakeAttemptFailed'],
  ['a connection that is reset', hiccup({ kind: 'resetConnection' }), 'WakeAttemptFailed'],
  ['an empty 409', hiccup({ kind: 'status', status: 409 }), 'WakeAttemptFailed'],
  ['an empty 503', hiccup({ kind: 'status', status: 503 }), 'WakeAttemptFailed'],
  // The driver logs in again: nothing has happened that the fleet need know.
  ['a 401 mid-way', [{ kind: 'status', status: 401, times: 1 }], undefined],
  ['a task that fails', hiccup({ kind: 'task', durationMs: 50, outcome: 'Exception' }), 'WakeAttemptFailed'],
  ['an On that lies', hiccup({ kind: 'ignoredReset' }), 'WakeOverdue'],
  ['malformed JSON', hiccup({ kind: 'malformedJson' }), 'WakeOverdue'],
  ['a huge body', hiccup({ kind: 'hugeBody', bytes: 64 * 1024 * 1024 }), 'WakeAttemptFailed'],
  ['a boot three times as slow', [{ kind: 'slowBoot', factor: 3, times: 1 }], 'WakeOverdue'],
])(
  '%s: named, and awake in the end',
  async (_what, faults, name) => {
    await putToSleep();
    const before = view.fleet.sequence;
    rack.setFaults(sick, faults);
    await order('WakeOrdered', patienceMs);
    await whenFleet('it is ready again', (state) => state.lifecycle === 'ready' && !state.wake, sick);
    expectWell(before, name ? [name] : []);
  },
  60_000,
);

test('a BMC that refuses for good: quarantined, and back by itself when it heals', async () => {
  await putToSleep();
  const before = view.fleet.sequence;
  rack.setFaults(sick, [{ kind: 'status', status: 503, on: 'reset' }]);
  await order('WakeOrdered', patienceMs);
  await whenFleet('it is quarantined', (state) => state.lifecycle === 'quarantined', sick);
  rack.setFaults(sick, []);
  await whenFleet('it is ready again', (state) => state.lifecycle === 'ready', sick);
  expectWell(before, ['WakeTimedOut', 'ServerQuarantined', 'ServerPoweredOn']);
}, 90_000);

test('a certificate that nobody vouches for: no word and no wake by it, and awake when it is the right one', async () => {
  await putToSleep();
  const before = view.fleet.sequence;
  rack.setCertificate(sick, await createCertificate([]));
  await whenFleet('its power is unknown', (state) => state.powerState === 'unknown', sick);
  await order('WakeOrdered', patienceMs);
  await whenFleet('its wake was refused', (state) => state.wake?.attemptFailed === true, sick);
  expect(rack.status(sick).state).toBe('off');
  rack.setCertificate(sick);
  await whenFleet('it is ready again', (state) => state.lifecycle === 'ready', sick);
  expectWell(before, ['PowerStateLost', 'WakeAttemptFailed', 'ServerPoweredOn']);
}, 90_000);

test('three magic packets in ten are lost: sent again, and awake by the packets alone', async () => {
  const before = view.fleet.sequence;
  let cycles = 0;
  while (packetsLost === 0 || cycles < 2) {
    await putToSleep(woken);
    await order('WakeOrdered', patienceMs, woken);
    await whenFleet('it is ready again', (state) => state.lifecycle === 'ready' && !state.wake, woken);
    cycles += 1;
  }
  expectWell(before, ['WakeAttempted', 'WakeOverdue'], woken);
  const drivers = events.flatMap((event) =>
    event.type === 'WakeAttempted' && event.data.server === woken ? [event.data.driver] : [],
  );
  expect(new Set(drivers)).toEqual(new Set(['wol']));
}, 90_000);

test('the power button, pressed by hand in either direction', async () => {
  await putToSleep();
  let before = view.fleet.sequence;
  rack.pressButton(sick);
  await whenFleet('it was seen', (state) => state.lifecycle !== 'asleep', sick);
  expect(factsSince(before)).toContain('PowerDriftDetected');
  await order('WakeOrdered', patienceMs);
  await whenFleet('it is ready', (state) => state.lifecycle === 'ready', sick);
  before = view.fleet.sequence;
  rack.pressButton(sick);
  await whenFleet('it is off', (state) => state.powerState === 'off', sick);
  await whenFleet('it is ready again', (state) => state.lifecycle === 'ready', sick);
  expectWell(before, ['PowerDriftDetected', 'WakeRequested']);
}, 90_000);

/** What a command prints, to stdout and stderr together; it goes into the search for the secret too. */
async function nemuri(...args: string[]): Promise<string> {
  const all = ['dist/cli/main.js', ...args, '--nats', stack.natsUrl];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, all);
  written.push(stdout, stderr);
  return stdout;
}

test('the ledger and the status tell of it', async () => {
  const { energy, power } = JSON.parse(await nemuri('report', '--since', '1h', '--json'));
  expect(energy.energyKwh).toBeGreaterThan(0);
  expect(energy.requests).toBeGreaterThan(50);
  expect(energy.modelledShare).toBeLessThan(1);
  expect(power).toMatchObject({ timedOut: expect.any(Number), setupTimesMs: expect.any(Array) });
  expect(power.wakes).toBeGreaterThanOrEqual(10);
  expect(power.overdue).toBeGreaterThan(0);
  expect(await nemuri('status')).toContain('test ordered it awake');
}, 90_000);

test('the secret of the BMCs is in no event, log line, span or answer of all this', async () => {
  expect(load.answered).toBeGreaterThan(50);
  const streams: StreamName[] = ['FLEET', 'TELEMETRY'];
  const stored: string[] = [];
  for (const stream of streams) {
    for await (const event of stack.bus.history(stream, 1)) stored.push(JSON.stringify(event));
  }
  const signal = AbortSignal.timeout(patienceMs);
  const answers = await Promise.all(
    Object.values(stack.services).flatMap(async (service) => {
      const { admin } = await service.whenStarted(signal);
      const paths = ['/fleet', '/readyz', '/livez', '/nowhere'];
      const texts = paths.map(async (path) => (await fetch(`http://127.0.0.1:${admin.port}${path}`)).text());
      return (await Promise.all(texts)).join('\n');
    }),
  );
  // What is no secret is found where it must be: the search can find.
  expect(stored.some((text) => text.includes(rack.username))).toBe(true);
  const all = { stored, written, spans, answers };
  for (const [where, texts] of Object.entries(all)) {
    expect([where, texts.length > 0]).toEqual([where, true]);
    const encoded = Buffer.from(secret).toString('base64');
    // Basic authentication has the name before it, which shifts the base64: its middle is the same in one of three.
    const basic = Buffer.from(`${rack.username}:${secret}`).toString('base64');
    const leaks = texts.filter((text) => [secret, encoded, basic].some((form) => text.includes(form)));
    expect([where, leaks]).toEqual([where, []]);
  }
}, 90_000);
