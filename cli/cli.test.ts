import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bus, createMemoryStore, type MemoryStore, openMemoryBus } from '../libs/bus/mod.ts';
import { draftOf } from '../libs/domain/testing/builders.ts';
import type { EventDraft } from '../libs/events/mod.ts';
import type { Cli } from './cli.ts';
import { runCli } from './program.ts';

const yaml = `version: 1
pools: { web: { minServers: 1 } }
servers:
  web-1: { pool: web, url: "http://10.0.0.1", capacityRps: 100 }
  web-2: { pool: web, url: "http://10.0.0.2", capacityRps: 150 }
`;

let directory: string;
let file: string;
let store: MemoryStore;
let bus: Bus;
let abort: AbortController;
/** Every line that a command writes, as it writes it: `out` and `err`. */
let written: EventEmitter;
const running = new Set<Promise<unknown>>();

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nemuri-cli-'));
  file = join(directory, 'nemuri.yaml');
  await writeFile(file, yaml);
  store = createMemoryStore();
  bus = openMemoryBus(store, { source: 'test' });
  abort = new AbortController();
  written = new EventEmitter();
});
afterEach(async () => {
  abort.abort();
  await Promise.all(running);
  running.clear();
  await bus.close();
  await rm(directory, { recursive: true });
});

interface Result {
  readonly code: number;
  readonly out: readonly string[];
  readonly err: readonly string[];
}

function nemuri(args: readonly string[], overrides: Partial<Cli> = {}): Promise<Result> {
  const out: string[] = [];
  const err: string[] = [];
  const cli: Cli = {
    out: (line) => {
      out.push(line);
      written.emit('out', line);
    },
    err: (line) => {
      err.push(line);
      written.emit('err', line);
    },
    env: {},
    nowMs: Date.now,
    signal: abort.signal,
    distDir: 'dist',
    connect: async () => openMemoryBus(store, { source: 'cli' }),
    ...overrides,
  };
  const done = runCli(args, cli, '1.2.3').then((code) => ({ code, out, err }));
  running.add(done);
  return done;
}

describe('validate', () => {
  test('says in one line what a valid file holds', async () => {
    expect(await nemuri(['validate', '-c', file])).toEqual({
      code: 0,
      out: [`${file} is valid: 1 pool, 2 servers, capacity 250 requests/s`],
      err: [],
    });
  });

  test('exits 1 with every problem a line on stdout', async () => {
    await writeFile(file, yaml.replace('minServers: 1', 'minServers: 5').replace('150', 'many'));
    const { code, out } = await nemuri(['validate', '-c', file]);
    expect(code).toBe(1);
    expect(out).toEqual([
      `${file}:2: pools.web.minServers: minServers and spareServers together must be at most the servers of the pool, which are 2 (got 5)`,
      `${file}:5: servers.web-2.capacityRps: must be a number above 0 (got "many")`,
    ]);
  });

  test('--json has the same as one object', async () => {
    const valid = await nemuri(['validate', '-c', file, '--json']);
    expect(valid.out.map((line) => JSON.parse(line))).toEqual([
      { valid: true, problems: [], pools: 1, servers: 2, capacityRps: 250 },
    ]);
    await writeFile(file, yaml.replace('150', 'many'));
    const { code, out } = await nemuri(['validate', '-c', file, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(out.join(''))).toMatchObject({
      valid: false,
      problems: [{ line: 5, value: '"many"' }],
    });
  });

  test('exits 2 when there is no file', async () => {
    expect(await nemuri(['validate', '-c', 'none.yaml'])).toEqual({
      code: 2,
      out: [],
      err: ["nemuri: none.yaml can't be read: there is no such file"],
    });
  });
});

describe('usage', () => {
  test.each([
    [['frobnicate'], "error: unknown command 'frobnicate'"],
    [['validate'], "error: required option '-c, --config <file>' not specified"],
    [['status', '--timeout', 'soon'], 'It must be a number above 0'],
    [['events', '--filter', 'a b'], 'It must be a NATS subject'],
    [['events', '--filter', 'other.>'], 'no event has a subject that matches --filter other.>'],
    [['events', '--filter', 'type=WakeRequeste'], 'It must be a NATS subject'],
    [['events', '--since', 'yesterday'], '--since must be'],
    [['events', '--until', 'all'], '--until must be'],
    [['replay'], "error: required option '--at <when>' not specified"],
    [['replay', '--at', 'noon'], '--at must be'],
  ])('%j exits 2 with one clear line', async (args, message) => {
    const { code, out, err } = await nemuri(args);
    expect([code, out]).toEqual([2, []]);
    expect(err.join('\n')).toContain(message);
  });

  test('--version and --help exit 0', async () => {
    expect(await nemuri(['--version'])).toEqual({ code: 0, out: ['1.2.3'], err: [] });
    const help = await nemuri(['--help']);
    expect(help.code).toBe(0);
    expect(help.out.join('\n')).toContain('Examples:');
  });
});

describe('the bus', () => {
  test('that can not be reached is one line and exit 2, without the credentials of its URL', async () => {
    const lost: Bus = Object.create(bus, {
      lostSinceMs: { value: 1 },
      close: { value: async () => undefined },
    });
    const connect: Cli['connect'] = async ({ servers, onProblem }) => {
      expect(servers).toEqual(['nats://me:hunter2@away:4222', 'nats://b']);
      onProblem(new Error('connection refused'));
      return lost;
    };
    const env = { NEMURI_NATS_URL: 'nats://me:hunter2@away:4222, nats://b' };
    expect(await nemuri(['status'], { connect, env })).toEqual({
      code: 2,
      out: [],
      err: ['nemuri: no bus at nats://(hidden)@away:4222, nats://b: connection refused'],
    });
  });

  test('is the one of --nats before that of the environment', async () => {
    let asked: readonly string[] = [];
    const connect: Cli['connect'] = async ({ servers }) => {
      asked = servers;
      return openMemoryBus(store, { source: 'cli' });
    };
    await nemuri(['status', '--nats', 'nats://a'], { connect, env: { NEMURI_NATS_URL: 'nats://b' } });
    expect(asked).toEqual(['nats://a']);
  });
});

describe('configure', () => {
  test('takes the file into the history once', async () => {
    const first = await nemuri(['configure', '-c', file]);
    expect(first).toMatchObject({ code: 0, err: [] });
    expect(first.out[0]).toContain('is in the history now, as event 1: 1 pool, 2 servers');
    const second = await nemuri(['configure', '-c', file]);
    expect(second.out[0]).toContain('was in the history already, as event 1');
    expect(await bus.lastSequence('FLEET')).toBe(1);
  });

  test('takes nothing in that is not valid', async () => {
    await writeFile(file, yaml.replace('version: 1', 'version: 2'));
    expect((await nemuri(['configure', '-c', file])).code).toBe(1);
    expect(await bus.lastSequence('FLEET')).toBe(0);
  });

  test('--watch follows the file until interrupted', async () => {
    const first = once(written, 'out');
    const done = nemuri(['configure', '-c', file, '--watch']);
    await first;
    const refused = once(written, 'err');
    await writeFile(file, yaml.replace('150', 'many'));
    expect((await refused)[0]).toContain('servers.web-2.capacityRps: must be a number above 0');
    const applied = once(written, 'out');
    await writeFile(file, yaml.replace('150', '200'));
    expect((await applied)[0]).toContain('capacity 300 requests/s');
    abort.abort();
    expect((await done).code).toBe(0);
    expect(await bus.lastSequence('FLEET')).toBe(2);
  });
});

const cordoned: EventDraft = {
  type: 'ServerCordoned',
  data: { server: 'web-1', reason: 'new\ndisk', by: 'ops' },
};
const metered: EventDraft = {
  type: 'PowerMetered',
  data: { server: 'web-1', pool: 'web', powerWatts: 90, meter: 'measured', meterSource: 'bmc' },
};

describe('events', () => {
  beforeEach(async () => {
    await nemuri(['configure', '-c', file]);
    await bus.publish(cordoned);
    await bus.publish(metered);
  });

  test('prints the history, one event a line, line breaks in it hidden', async () => {
    const { code, out } = await nemuri(['events', '--since', 'all', '--count', '2']);
    expect(code).toBe(0);
    expect(out).toHaveLength(2);
    expect(out[0]).toMatch(/^\d{4}-\S+Z FLEET:1 FleetConfigured origin=.*1 pool, 2 servers/);
    expect(out[1]).toMatch(/FLEET:2 ServerCordoned server=web-1 reason="new\\ndisk" by=ops$/);
  });

  test('--filter chooses subject and stream, --json the form', async () => {
    const args = ['events', '--since', '1h', '--count', '1', '--json'];
    const meter = await nemuri([...args, '--filter', 'nemuri.meter.*']);
    expect(JSON.parse(meter.out.join(''))).toMatchObject({ stream: 'TELEMETRY', type: 'PowerMetered' });
    const wide = await nemuri([...args, '--filter', 'nemuri.*.server.web-1']);
    expect(JSON.parse(wide.out.join(''))).toMatchObject({ type: 'ServerCordoned', sequence: 2 });
  });

  test('without --since prints only what comes, until interrupted', async () => {
    const line = once(written, 'out');
    // Subscribing takes an unknown time: facts are published until one is seen.
    const done = nemuri(['events']);
    let seen = false;
    line.then(() => {
      seen = true;
    });
    while (!seen) {
      await bus.publish({ type: 'ServerUncordoned', data: { server: 'web-1', reason: 'done', by: 'ops' } });
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await line)[0]).toContain('ServerUncordoned');
    abort.abort();
    expect((await done).code).toBe(0);
  });
});

describe('status', () => {
  test('says that nothing is configured yet', async () => {
    const { code, out } = await nemuri(['status']);
    expect([code, out]).toEqual([0, ['The history has no configuration yet: nemuri configure -c FILE']]);
    expect(JSON.parse((await nemuri(['status', '--json'])).out.join(''))).toMatchObject({
      configured: false,
    });
  });

  test('says nothing of a snapshot that its user may not keep', async () => {
    const refused = () => Promise.reject(new Error('Permissions Violation'));
    // Each run closes its own.
    const connect: Cli['connect'] = async () =>
      Object.create(openMemoryBus(store, { source: 'cli' }), { saveSnapshot: { value: refused } });
    expect((await nemuri(['status'], { connect })).err).toEqual([]);
    const env = { NEMURI_LOG_LEVEL: 'debug' };
    expect((await nemuri(['status'], { connect, env })).err).toEqual([
      expect.stringContaining('snapshot not saved'),
    ]);
  });

  test('shows each server by its four axes', async () => {
    await nemuri(['configure', '-c', file]);
    await bus.publish(cordoned);
    await bus.publish({ type: 'ServerPoweredOn', data: { server: 'web-2', pool: 'web' } });
    await bus.publish({
      type: 'ServerBecameHealthy',
      data: { server: 'web-2', pool: 'web', latencyMs: 3, consecutive: 2 },
    });
    const { code, out } = await nemuri(['status']);
    expect(code).toBe(0);
    expect(out[0]).toBe('pool web: 1 waking, 1 ready; floor 1; 150 of 250 requests/s ready');
    expect(out[1]).toBe('  nothing decided yet: all its servers stay awake');
    expect(out[3]).toMatch(/^ {2}web-1 {3}waking {5}\d s {4}unknown {2}unknown {2}cordoned$/);
    expect(out[4]).toMatch(/^ {2}web-2 {3}ready {6}\d s {4}on {7}healthy {2}-$/);
    const json = JSON.parse((await nemuri(['status', '--json'])).out.join(''));
    expect(json.pools[0].servers[1]).toMatchObject({ name: 'web-2', lifecycle: 'ready', cordoned: false });
  });
});

describe('explain', () => {
  const decided = (reason: string) => draftOf('CapacityDecided', { target: ['web-2'], reason });

  test('prints the sentence of the last decision and its figures', async () => {
    await nemuri(['configure', '-c', file]);
    await bus.publish(decided('the one before'));
    await bus.publish(decided('because of the load'));
    const { code, out } = await nemuri(['explain']);
    expect([code, out[1]]).toEqual([0, '  because of the load']);
    expect(out[2]).toBe('  target    web-2');
    expect(out.join(' ')).toContain('at risk 0.001');
    const json = JSON.parse((await nemuri(['explain', '--json'])).out.join(''));
    expect(json).toHaveLength(1);
    expect(json[0].data.reason).toBe('because of the load');
  });

  test('says that nothing was decided yet, and which pools there are', async () => {
    await nemuri(['configure', '-c', file]);
    expect((await nemuri(['explain'])).code).toBe(1);
    const { code, err } = await nemuri(['explain', '--pool', 'shop']);
    expect([code, err[0]]).toEqual([1, 'nemuri: no pool "shop"; there are: web']);
  });
});

test('schema prints the JSON Schema', async () => {
  const { code, out } = await nemuri(['schema']);
  expect(code).toBe(0);
  expect(JSON.parse(out.join(''))).toMatchObject({ required: ['version', 'pools', 'servers'] });
});
