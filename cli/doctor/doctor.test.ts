import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import {
  type Bus,
  type BusFacts,
  createMemoryStore,
  type MemoryStore,
  openMemoryBus,
} from '../../libs/bus/mod.ts';
import { draftOf, fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { IpmiMethod } from '../../libs/events/mod.ts';
import type { Cli } from '../cli.ts';
import { runOnStore } from '../testing/run.ts';
import { type Finding, grouped, ok, warning } from './finding.ts';
import { busFindings } from './judgeBus.ts';
import { clockFindings } from './judgeClocks.ts';
import { certificateFindings, endFinding, programFindings, serviceFindings } from './look.ts';

const nowMs = 1_900_000_000_000;
const dayMs = 86_400_000;
const levelsOf = (findings: readonly Finding[]) => findings.map(({ level, about }) => `${level} ${about}`);

describe('the bus', () => {
  const stream = { messages: 7, bytes: 1_000, maxBytes: 10_000, replicas: 1, missing: 0 };
  const sound: BusFacts = {
    version: '2.10.18',
    maxPayloadBytes: 1_048_576,
    roundTripMs: 1,
    streams: [{ name: 'FLEET', state: stream }],
  };
  const { streams: _streams, ...off } = sound;

  test.each<[string, BusFacts, string]>([
    ['sound', sound, 'ok bus; ok FLEET'],
    ['2.9', { ...sound, version: '2.9.10' }, 'ok bus; ok FLEET'],
    ['2.8', { ...sound, version: '2.8.4' }, 'error bus; ok FLEET'],
    ['without JetStream', { ...off, jetStreamProblem: 'not enabled' }, 'ok bus; error bus'],
    ['without a stream', { ...sound, streams: [{ name: 'FLEET' }] }, 'ok bus; error FLEET'],
    ['of a cluster without a leader', { ...off, hasNoMajority: true }, 'ok bus; error bus'],
    [
      'with a stream without a majority',
      { ...sound, streams: [{ name: 'FLEET', state: stream, trouble: 'no majority' }] },
      'ok bus; error FLEET',
    ],
    [
      'with a hole in its history',
      { ...sound, streams: [{ name: 'FLEET', state: { ...stream, missing: 3 } }] },
      'ok bus; error FLEET',
    ],
    [
      'nearly full',
      { ...sound, streams: [{ name: 'FLEET', state: { ...stream, bytes: 9_500 } }] },
      'ok bus; warning FLEET',
    ],
    ['with small messages', { ...sound, maxPayloadBytes: 3_000 }, 'ok bus; ok FLEET; error bus'],
  ])('%s', (_name, facts, levels) => {
    expect(levelsOf(busFindings('bus', facts, fleetConfig())).join('; ')).toBe(levels);
  });
});

test('a clock is judged by its best sample: what is late on its way is not ahead or behind', () => {
  const samples = [
    { who: 'a', skewMs: -4_000 },
    { who: 'a', skewMs: -20 },
    { who: 'b', skewMs: 1_500 },
    { who: 'c', skewMs: -60_000 },
  ];
  const findings = clockFindings(samples);
  expect(levelsOf(findings)).toEqual(['ok a', 'warning b', 'error c']);
  expect(findings[2]?.found).toBe('60.0 s behind this machine');
});

test.each([
  [-1, 'error'],
  [29, 'warning'],
  [31, 'ok'],
])('a certificate that ends in %d days: %s', (days, level) => {
  expect(endFinding('x', nowMs + days * dayMs, nowMs).level).toBe(level);
});

test('programs that the methods run are looked for, others are not', () => {
  const { s1 } = fleetConfig().servers;
  if (!s1) throw new Error('no server s1');
  const ipmi = { ...fleetConfig(), servers: { s1: { ...s1, power: [{ driver: 'ipmi' } as IpmiMethod] } } };
  const missing = programFindings(ipmi, { PATH: '/nowhere' }).filter(({ about }) => about !== 'node');
  // Debian has it in /usr/bin, which the PATH leaves out.
  expect(missing).toMatchObject([{ level: 'error', about: 'ipmitool', mend: 'apt-get install ipmitool' }]);
  expect(programFindings(fleetConfig(), { PATH: '/nowhere' })).toHaveLength(1);
});

test('what is said of many is said once, errors first', () => {
  const names = Array.from({ length: 9 }, (_, index) => `s${index + 1}`);
  const shown = grouped([
    ok('bus', 'b', 'fine'),
    ...names.map((name) => warning('wake', name, 'unproven', 'drill')),
  ]);
  expect(levelsOf(shown)).toEqual(['warning s1, s2, s3, s4, s5, s6 and 3 more', 'ok b']);
});

describe('files and services', () => {
  let folder: string;
  let server: Server | undefined;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nemuri-doctor-'));
  });
  afterEach(async () => {
    await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
    server = undefined;
    await rm(folder, { recursive: true });
  });

  test('a certificate in a file, and one that is none', async () => {
    const endsAt = new Date(nowMs + 10 * dayMs);
    const notBeforeDate = new Date(nowMs - dayMs);
    const { cert } = await generate([{ name: 'commonName', value: 'x' }], {
      notBeforeDate,
      notAfterDate: endsAt,
    });
    const files = [join(folder, 'cert.pem'), join(folder, 'none.pem')];
    await writeFile(files[0] ?? '', cert);
    const findings = await certificateFindings(undefined, files, 100, nowMs);
    expect(findings.map(({ level }) => level)).toEqual(['warning', 'error']);
  });

  async function admin(answers: Readonly<Record<string, object>>): Promise<string> {
    const listening = createServer((request, response) =>
      response.end(JSON.stringify(answers[request.url ?? ''] ?? {})),
    );
    server = listening;
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(listening.address() as AddressInfo).port}`;
  }

  test('a service is asked for readiness, version and clock', async () => {
    const address = await admin({
      '/healthz': { service: 'power', version: '1.0.0', timeMs: nowMs + 9_000 },
      '/readyz': { status: 'not ready', why: 'the bus is lost' },
    });
    const { findings, clocks } = await serviceFindings([address], '2.0.0', 1_000, () => nowMs);
    expect(levelsOf(findings)).toEqual([`error ${address}`, `warning ${address}`]);
    expect(findings[0]?.found).toBe('not ready: the bus is lost');
    expect(clocks).toEqual([{ who: `power at ${address}`, skewMs: 9_000 }]);
  });

  test('one that does not answer is an error', async () => {
    const { findings } = await serviceFindings(['127.0.0.1:64999'], '1.0.0', 1_000, () => nowMs);
    expect(findings).toMatchObject([{ level: 'error', found: expect.stringContaining('ECONNREFUSED') }]);
  });
});

describe('nemuri doctor', () => {
  let store: MemoryStore;
  let bus: Bus;
  beforeEach(() => {
    store = createMemoryStore({ clock: { ...createMemoryStore().clock, now: () => nowMs } });
    bus = openMemoryBus(store, { source: 'test' });
  });
  afterEach(() => bus.close());

  /** The four services answer nowhere here: what they are found to be is left out. */
  async function doctor(args: readonly string[] = [], overrides: Partial<Cli> = {}) {
    const usual = ['doctor', '--json', '--no-bmc', '--listen', '0.01', '--admin', '127.0.0.1:64999'];
    const { code, out, err } = await runOnStore(store, [...usual, ...args], {
      nowMs: () => nowMs,
      ...overrides,
    });
    const { ok: isWell, findings } = JSON.parse(out.join('')) as { ok: boolean; findings: Finding[] };
    return { code, err, isWell, findings: findings.filter(({ check }) => check !== 'services') };
  }

  test('a history without a configuration', async () => {
    const { code, isWell, findings } = await doctor();
    expect([code, isWell]).toEqual([1, false]);
    expect(findings[0]).toMatchObject({ level: 'error', found: 'it has no configuration yet' });
  });

  test('a bus that is away is one finding, and the file is looked at all the same', async () => {
    const connect = () => Promise.reject(new Error('refused'));
    const { findings } = await doctor(['-c', 'none.yaml'], { connect });
    expect(findings.filter(({ level }) => level === 'error').map(({ check }) => check)).toEqual([
      'config',
      'bus',
    ]);
  });

  test('each trouble of a server and the planner has its name and its remedy', async () => {
    const config = fleetConfig({ servers: 4, pool: { minServers: 4 } });
    const { s2 } = config.servers;
    await bus.publish({
      type: 'FleetConfigured',
      data: {
        config: { ...config, servers: { ...config.servers, ...(s2 ? { s2: { ...s2, power: [] } } : {}) } },
        origin: 'test',
      },
    });
    await bus.publish(draftOf('ServerCordoned', { server: 's1' }));
    await bus.publish(draftOf('ServerCordoned', { server: 's2', untilMs: nowMs + 3_600_000 }));
    await bus.publish(draftOf('ServerCordoned', { server: 's4', untilMs: nowMs - 300_000 }));
    await bus.publish(draftOf('WakeRequested', { server: 's3' }));
    await bus.publish(draftOf('WakeTimedOut', { server: 's3' }));
    await bus.publish(draftOf('ServerQuarantined', { server: 's3', untilMs: nowMs + 60_000 }));
    await bus.publish(draftOf('PlannerPaused'));
    const { findings } = await doctor();
    const said = findings.map(({ level, about, found }) => `${level} ${about}: ${found}`);
    expect(said).toEqual(
      expect.arrayContaining([
        'error pool web: nothing is decided yet',
        'warning pool web: the planner is paused: nothing sleeps',
        expect.stringContaining('warning pool web: minServers and spareServers together'),
        'warning s1: it is cordoned: it gets no requests',
        'warning s2: it is cordoned for 60 min more: it gets no requests',
        'error s4: its cordon was to end 5 min ago, and it still gets no requests',
        'warning s2: no method of it can wake or sleep it: it stays awake',
        'error s3: its wake failed: it is quarantined for 60 s more',
        'warning s4: nobody has seen it wake yet',
      ]),
    );
    expect(findings.every(({ level, mend }) => level === 'ok' || (mend ?? '') !== '')).toBe(true);
  });

  test('a wake that was seen, and a decision within its lease, are well', async () => {
    await bus.publish({
      type: 'FleetConfigured',
      data: { config: fleetConfig({ servers: 2 }), origin: 'test' },
    });
    await bus.publish(draftOf('CapacityDecided', { validForMs: 1_000 }));
    for (const server of ['s1', 's2']) {
      const drill = { server, drillId: 'd1' };
      await bus.publish(draftOf('DrillStarted', drill));
      await bus.publish(draftOf('DrillPassed', drill));
      await bus.publish(draftOf('ServerPoweredOn', { server }));
    }
    const well = await doctor();
    expect(
      levelsOf(well.findings.filter(({ check }) => ['planner', 'servers', 'wake'].includes(check))),
    ).toEqual(['ok pool web', 'ok s1', 'ok s2']);
    const late = await doctor([], { nowMs: () => nowMs + 5_000 });
    expect(late.findings.find(({ check }) => check === 'planner')).toMatchObject({ level: 'error' });
  });
});
