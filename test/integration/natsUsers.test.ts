import { readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { runOnStore } from '../../cli/testing/run.ts';
import { rackConfig, rackConfigYaml } from '../../lab/rack/config.ts';
import { daySettings } from '../../lab/rack/day.ts';
import { type Rack, startRack } from '../../lab/rack/rack.ts';
import {
  type Bus,
  BusRefusedError,
  connectJetStreamBus,
  createMemoryStore,
  natsUsers,
  renderNatsUsers,
} from '../../libs/bus/mod.ts';
import { makeNatsHarness, type NatsHarness } from '../../libs/bus/testing/natsHarness.ts';
import { until } from '../../libs/bus/testing/until.ts';
import { sampleData } from '../../libs/domain/testing/builders.ts';
import { catalog, type EventDraft, type EventType, type SubjectKind } from '../../libs/events/mod.ts';
import { busLogin } from '../../libs/runtime/busLogin.ts';
import { parseConfig } from '../../libs/runtime/config.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { type SupervisedProcess, supervise } from '../../libs/runtime/supervisor.ts';

/**
 * The users of `nemuri nats-config` on a real nats-server: each service works with its own, and is refused wherever
 * another writes. The services at the end are real processes: needs `npm run build`.
 */

const password = 'of-this-test';
const servers = ['s1', 's2', 'server-1'];
const users = natsUsers(servers);
const variables = Object.fromEntries(users.map(({ passwordVariable }) => [passwordVariable, password]));
const serviceNames = ['health', 'power', 'planner', 'proxy', 'console'] as const;

/** Who publishes on the subjects of a kind (ARCHITECTURE.md, Events); of the samples, all about server s1. */
const writersOf: Readonly<Record<SubjectKind, readonly string[]>> = {
  config: ['cli'],
  decision: ['planner'],
  capacity: ['planner'],
  power: ['power'],
  health: ['health'],
  traffic: ['proxy'],
  agent: ['agent-s1', 'health'],
  operator: ['cli', 'console'],
  energy: ['power'],
  pool: ['power'],
  load: ['proxy'],
  probe: ['health'],
  meter: ['power'],
  heartbeat: ['agent-s1', 'health'],
  lease: [],
};

let harness: NatsHarness;
const buses = new Map<string, Bus>();
const connections: NatsConnection[] = [];

const urlOf = (name: string) => harness.server.url.replace('://', `://${name}:${password}@`);
const busOf = (name: string) => buses.get(name) as Bus;

async function rawAs(name: string): Promise<NatsConnection> {
  const options = { servers: harness.server.url, user: name, pass: password, reconnect: false };
  const connection = await connect({ ...options, inboxPrefix: `_INBOX.${name}` });
  connections.push(connection);
  return connection;
}

beforeAll(async () => {
  harness = await makeNatsHarness(renderNatsUsers(users), variables);
  // First the one that makes the streams.
  for (const { name } of users.toSorted((one) => (one.name === 'cli' ? -1 : 1)))
    buses.set(name, await connectJetStreamBus({ servers: urlOf(name), source: `test/${name}` }));
}, 30_000);

afterAll(async () => {
  await Promise.all([...buses.values()].map((bus) => bus.close()));
  await Promise.all(connections.map((connection) => connection.close()));
  await harness?.close();
});

test('the file in deploy/ is what nemuri nats-config prints', () => {
  const text = readFileSync('deploy/nats/users.conf', 'utf8');
  expect(text.slice(text.indexOf('authorization'))).toBe(renderNatsUsers(natsUsers([])));
  expect(readFileSync('deploy/nats/nats.conf', 'utf8')).toMatch(/^include users\.conf$/m);
});

test('with the passwords of nats-config --secrets the bus of deploy/ lets each user in by its file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nemuri-passwords-'));
  const configure = async (...agents: string[]) => {
    const args = ['nats-config', '--secrets', folder, '--agent', ...agents];
    const { code, out } = await runOnStore(createMemoryStore(), args);
    expect(code).toBe(0);
    return { users: out.join('\n'), ofAgent: readFileSync(join(folder, 'agent-s1'), 'utf8') };
  };
  const first = await configure('s1');
  const again = await configure('s1', 's2');
  expect(again.ofAgent).toBe(first.ofAgent);
  const lines = readFileSync(join(folder, 'server.env'), 'utf8').trim().split('\n');
  const env = Object.fromEntries(lines.map((line) => line.split('=') as [string, string]));
  expect(env.NEMURI_NATS_PASSWORD_AGENT_S1).toMatch(/^p[0-9a-f]{48}$/);
  expect(statSync(join(folder, 'cli')).mode & 0o777).toBe(0o600);
  const bus = await makeNatsHarness(again.users, env);
  try {
    for (const user of ['cli', 'power', 'agent-s2']) {
      const login = await busLogin({
        NEMURI_NATS_USER: user,
        NEMURI_NATS_PASSWORD: `file:${join(folder, user)}`,
      });
      const own = await bus.open({ ...login, source: user });
      expect(await own.lastSequence('FLEET')).toBe(0);
      await own.close();
    }
    await expect(bus.open({ user: 'power', password: 'wrong' })).rejects.toThrow(/[Aa]uthorization/);
  } finally {
    await bus.close();
    await rm(folder, { recursive: true });
  }
}, 30_000);

async function publishers(draft: EventDraft): Promise<string[]> {
  const outcomes = users.map(async ({ name }) => {
    try {
      await busOf(name).publish(draft, { timeoutMs: 5_000 });
      return name;
    } catch (error) {
      if (error instanceof BusRefusedError) return '';
      throw error;
    }
  });
  return (await Promise.all(outcomes)).filter((name) => name !== '').toSorted();
}

test('each fact is taken from its writer and refused from everybody else', async () => {
  const types = (Object.keys(catalog) as EventType[]).filter((type) => catalog[type].kind !== 'lease');
  for (const type of types) {
    const taken = await publishers({ type, data: sampleData[type] } as EventDraft);
    expect([type, taken]).toEqual([type, writersOf[catalog[type].kind]]);
  }
}, 30_000);

test.each(['planner', 'power', 'health', 'proxy'])('the lease of %s is its own', async (service) => {
  const data = { ...sampleData.LeaseHeld, service };
  expect(await publishers({ type: 'LeaseHeld', data })).toEqual(service === 'proxy' ? [] : [service]);
});

test('an agent speaks for its own server alone', async () => {
  const data = { ...sampleData.HeartbeatSent, server: 's2' };
  expect(await publishers({ type: 'HeartbeatSent', data })).toEqual(['agent-s2', 'health']);
});

test('all read both streams', async () => {
  for (const { name } of users) {
    const bus = busOf(name);
    const seen: string[] = [];
    const open = (['FLEET', 'TELEMETRY'] as const).map((stream) =>
      bus.subscribe({ stream, startAt: 'beginning', onEvent: (event) => void seen.push(event.type) }),
    );
    const subscriptions = await Promise.all(open);
    await until(() => ['FleetConfigured', 'HeartbeatSent'].every((type) => seen.includes(type)));
    for (const subscription of subscriptions) await subscription.stop();
    expect((await bus.lastOn('FLEET', 'nemuri.config'))?.type).toBe('FleetConfigured');
    expect(await bus.sequenceAt('FLEET', Date.now())).toBeGreaterThan(0);
    for await (const event of bus.history('FLEET', 1)) {
      expect(event.sequence).toBe(1);
      break;
    }
  }
}, 30_000);

test('each keeps its own snapshots, reads all, and can spoil no other’s', async () => {
  const keys: Readonly<Record<string, readonly string[]>> = {
    proxy: ['proxy.edge-1'],
    planner: ['planner', 'planner.load.web', 'history', 'history.3'],
    power: ['power'],
    health: ['health'],
    console: ['console'],
    cli: ['cli'],
  };
  for (const [owner, owned] of Object.entries(keys)) {
    for (const key of owned) {
      await busOf(owner).saveSnapshot(key, { schemaVersion: 1, sequence: 7, state: owner });
      for (const { name } of users) {
        expect((await busOf(name).loadSnapshot(key))?.state).toBe(owner);
        const spoiling = busOf(name).saveSnapshot(key, { schemaVersion: 1, sequence: 7, state: owner });
        if (name === owner) await spoiling;
        else await expect(spoiling).rejects.toThrow(/Permissions Violation/);
      }
    }
  }
}, 30_000);

test('the power service asks an agent; nobody else does, and no agent answers for another server', async () => {
  const answering = await busOf('agent-s1').answer('s1', async (question) => ({ heard: question }));
  expect(await busOf('power').ask('s1', 'asleep?', 5_000)).toEqual({ heard: 'asleep?' });
  await expect(busOf('health').ask('s1', 'asleep?', 5_000)).rejects.toThrow(BusRefusedError);
  await answering.stop();
  expect(await subscribeRefused('agent-s2', 'nemuri.ask.s1')).toBe(true);
  expect(await subscribeRefused('agent-s2', 'nemuri.ask.*')).toBe(true);
});

async function subscribeRefused(name: string, subject: string): Promise<boolean> {
  const connection = await rawAs(name);
  return new Promise((resolve) => {
    connection.subscribe(subject, { callback: (error) => void (error && resolve(true)) });
    connection.flush().then(() => resolve(false));
  });
}

test('nobody listens to what is answered to another', async () => {
  for (const { name } of users) {
    expect([name, await subscribeRefused(name, '_INBOX.>')]).toEqual([name, true]);
    const other = name === 'power' ? 'health' : 'power';
    expect([name, await subscribeRefused(name, `_INBOX.${other}.>`)]).toEqual([name, true]);
    expect([name, await subscribeRefused(name, `_INBOX.${name}.>`)]).toEqual([name, false]);
    expect([name, await subscribeRefused(name, 'nemuri.state.>')]).toEqual([name, name !== 'listener']);
  }
});

test('no service makes, changes, empties or deletes a stream', async () => {
  const actions = ['CREATE', 'UPDATE', 'PURGE', 'DELETE', 'MSG.DELETE', 'SNAPSHOT', 'RESTORE'];
  for (const { name } of users) {
    const connection = await rawAs(name);
    const tried = actions.map((action) =>
      connection.request(`$JS.API.STREAM.${action}.FLEET`, '{}', { timeout: 5_000 }).then(
        () => action,
        (error: Error) => (/Permissions Violation/.test(error.message) ? '' : action),
      ),
    );
    const allowed = (await Promise.all(tried)).filter((action) => action !== '');
    expect([name, allowed]).toEqual([name, name === 'cli' ? ['CREATE', 'UPDATE'] : []]);
  }
});

describe('real services', () => {
  let folder: string;
  let rack: Rack;
  const services: SupervisedProcess[] = [];
  const lines: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nemuri-users-'));
    const times = { setupTimeMs: 400, poweringOnMs: 100, shutdownMs: 100 };
    rack = await startRack({ servers: 2, ...times, directory: folder, password: 'a secret of this test' });
    const settings = { ...daySettings, password: 'env:TEST_BMC_PASSWORD' };
    const parsed = parseConfig(rackConfigYaml(rackConfig(rack, settings)), { file: 'rack' });
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    const { config } = parsed;
    await busOf('cli').publish({ type: 'FleetConfigured', data: { config, origin: 'test' } });
    for (const name of [...serviceNames, 'agent-server-1']) {
      const isAgent = name.startsWith('agent-');
      const env = {
        ...(isAgent ? { NEMURI_NAME: 'server-1' } : {}),
        TEST_BMC_PASSWORD: 'a secret of this test',
        NEMURI_NATS_URL: urlOf(name),
        NEMURI_ADMIN_LISTEN: '127.0.0.1:0',
        NEMURI_LISTEN: `127.0.0.1:${await freePort('127.0.0.1')}`,
        NEMURI_CONSOLE_LISTEN: `127.0.0.1:${await freePort('127.0.0.1')}`,
      };
      const onLine = (line: string) => void lines.push(`${name}: ${line}`);
      services.push(
        supervise({
          name,
          script: isAgent ? 'dist/agent/main.js' : `dist/services/${name}/main.js`,
          env,
          onLine,
        }),
      );
    }
  }, 60_000);

  afterAll(async () => {
    await Promise.all(services.map((service) => service.stop(10_000)));
    await rack?.stop();
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  test('work with their own users, and are refused nothing', async () => {
    const said = new Set<string>();
    const sinceMs = Date.now();
    const onEvent = ({ type, source }: { type: string; source: string }) =>
      void said.add(`${type} ${source}`);
    for (const stream of ['FLEET', 'TELEMETRY'] as const)
      await busOf('listener').subscribe({ stream, startAt: { sinceMs }, onEvent });
    const expected = [
      'CapacityDecided /nemuri/planner',
      'LoadSampled /nemuri/proxy',
      'PowerMetered /nemuri/power',
    ];
    expected.push('ProbesSampled /nemuri/health', 'ServerBecameHealthy /nemuri/health');
    expected.push('HeartbeatSent /nemuri/agent/server-1', 'HeartbeatStarted /nemuri/health');
    expected.push(...['planner', 'power', 'health'].map((name) => `LeaseHeld /nemuri/${name}`));
    const has = (start: string) => [...said].some((text) => text.startsWith(start));
    await until(() => expected.every(has), 30_000).catch(() => undefined);
    expect(expected.filter((start) => !has(start))).toEqual([]);
    const started = await Promise.all(services.map((service) => service.whenStarted()));
    const ready = started.map(
      async ({ admin }) => (await fetch(`http://127.0.0.1:${admin.port}/readyz`)).status,
    );
    expect(await Promise.all(ready)).toEqual(services.map(() => 200));
    // Snapshots are saved at the end.
    await Promise.all(services.map((service) => service.stop(10_000)));
    expect(lines.filter((line) => /violation|not saved/i.test(line))).toEqual([]);
    expect((await busOf('listener').loadSnapshot('proxy.proxy-0'))?.sequence).toBeGreaterThan(0);
  }, 60_000);
});
