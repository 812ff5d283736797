import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { fleetConfig, sampleData } from '../libs/domain/testing/builders.ts';
import type { EventOf, RecordedEvent, SleepAnswer } from '../libs/events/mod.ts';
import { freePort } from '../libs/runtime/freePort.ts';
import { createAgentDriver } from '../services/power/drivers/agent.ts';
import { createHarness, type Harness } from '../services/testing/harness.ts';
import { type RunningAgent, startAgent } from './agent.ts';
import { type AgentSettings, agentSettings } from './settings.ts';
import { createKernel, type FakeKernel } from './testing/kernel.ts';

const s1 = { server: 's1', pool: 'web' };
const servicePort = 8080;

let harness: Harness;
let kernel: FakeKernel;
let agent: RunningAgent | undefined;
let commands: (readonly string[])[];
let run: (command: readonly string[]) => Promise<void>;
const listeners: Server[] = [];

beforeEach(async () => {
  harness = createHarness();
  kernel = await createKernel();
  commands = [];
  run = async (command) => void commands.push(command);
});

afterEach(async () => {
  await agent?.stop();
  agent = undefined;
  for (const listener of listeners.splice(0)) listener.close();
  await harness.close();
  await kernel.close();
});

async function start(change: Partial<AgentSettings> = {}): Promise<RunningAgent> {
  const config = fleetConfig({ servers: 2, bounds: { heartbeatIntervalMs: 20, heartbeatLeaseMs: 500 } });
  await harness.configure(config);
  const settings = agentSettings({
    NEMURI_AGENT_WISH_FILE: join(kernel.root, 'wish'),
    NEMURI_AGENT_LOOK_TIMEOUT_MS: '200',
    NEMURI_AGENT_SHUTDOWN_WAIT_MS: '300',
    NEMURI_AGENT_SUSPEND_COMMAND: 'rest well',
  });
  agent = await startAgent(
    harness.context('s1'),
    { ...settings, ...change },
    { folders: kernel, run: (command) => run(command) },
  );
  return agent;
}

const next = <T extends RecordedEvent['type']>(
  stream: 'FLEET' | 'TELEMETRY',
  type: T,
  fits: (event: EventOf<T>) => boolean = () => true,
) =>
  harness.nextEvent(stream, (event): event is EventOf<T> => event.type === type && fits(event as EventOf<T>));

const nextBeat = (fits: (event: EventOf<'HeartbeatSent'>) => boolean = () => true) =>
  next('TELEMETRY', 'HeartbeatSent', fits);

/** Planner, proxy and health service, all of them well. */
async function controlPlane(): Promise<void> {
  await harness.publish({ type: 'CapacityDecided', data: { ...sampleData.CapacityDecided, target: ['s2'] } });
  await harness.publish({ type: 'LoadSampled', data: sampleData.LoadSampled });
  await harness.publish({ type: 'ProbesSampled', data: sampleData.ProbesSampled });
}

/** The power service's facts up to the order. */
async function drainedAndTold(driver = 'agent'): Promise<void> {
  await harness.publish({ type: 'ServerPoweredOn', data: s1 });
  await harness.publish({ type: 'ServerBecameHealthy', data: { ...s1, latencyMs: 1, consecutive: 2 } });
  await harness.publish({ type: 'SleepRequested', data: sampleData.SleepRequested });
  await harness.publish({ type: 'ServerDrained', data: sampleData.ServerDrained });
  await harness.publish({ type: 'SleepAttempted', data: { ...sampleData.SleepAttempted, driver } });
}

const order = async () =>
  (await harness.bus.ask('s1', { question: 'sleep', how: 'suspend' }, 10_000)) as SleepAnswer;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('heartbeats', () => {
  test('say who, which boot, how and what is wished, and count', async () => {
    await start();
    const first = await nextBeat();
    expect(first.data).toMatchObject({ ...s1, via: 'agent', bootId: 'boot-1', wish: 'ready', load1: 0.5 });
    const heartbeat = (first.data.heartbeat ?? 0) + 1;
    await nextBeat(({ data }) => data.heartbeat === heartbeat);
  });

  test('tell the wish that the operator wrote down', async () => {
    await start();
    await kernel.write('wish', '50% drain maxconn:7\n');
    const { data } = await nextBeat(({ data: { wish } }) => wish === 'drain');
    expect(data).toMatchObject({ weightPercent: 50, maxInFlight: 7 });
  });

  test('say what of the control plane can not be reached from here', async () => {
    const dead = { host: '127.0.0.1', port: await freePort('127.0.0.1') };
    const listener = createServer((socket) => socket.destroy());
    listeners.push(listener);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const alive = { host: '127.0.0.1', port: (listener.address() as AddressInfo).port };
    await start({ proxies: [dead, alive] });
    const { data } = await nextBeat(({ data: { unreachable } }) =>
      unreachable.some((one) => /REFUSED/.test(one)),
    );
    expect(data.unreachable).toEqual([
      expect.stringMatching(/^the planner of web/),
      expect.stringMatching(/^the health service/),
      expect.stringMatching(/^every proxy of web/),
      expect.stringMatching(new RegExp(`^proxy 127.0.0.1:${dead.port}: .*ECONNREFUSED`)),
    ]);
    await controlPlane();
    const only = await nextBeat(({ data: { unreachable } }) => unreachable.length === 1);
    expect(only.data.unreachable[0]).toContain(String(dead.port));
  });
});

describe('an order to sleep', () => {
  test('is carried out when the history says so and nothing is against it', async () => {
    await start();
    await controlPlane();
    await drainedAndTold();
    await nextBeat(({ data: { unreachable } }) => unreachable.length === 0);
    expect(await order()).toEqual({ accepted: true, refusals: [] });
    await until(() => commands.length > 0);
    expect(commands).toEqual([['rest', 'well']]);
  });

  test('may come before the fact it rests on', async () => {
    await start();
    await controlPlane();
    await nextBeat(({ data: { unreachable } }) => unreachable.length === 0);
    const answer = order();
    await drainedAndTold();
    expect((await answer).accepted).toBe(true);
  });

  test('without the fact is refused, and so is another driver’s', async () => {
    await start();
    await controlPlane();
    await drainedAndTold('redfish');
    expect(await order()).toEqual({
      accepted: false,
      refusals: [expect.stringMatching(/no power-off for its agent/)],
    });
    expect(commands).toEqual([]);
  });

  test('without a live planner is refused', async () => {
    await start();
    await drainedAndTold();
    const { accepted, refusals } = await order();
    expect([accepted, refusals.join()]).toEqual([false, expect.stringMatching(/no decision of the planner/)]);
    expect(commands).toEqual([]);
  });

  test('waits for connections to go, and not for ever', async () => {
    await start();
    await controlPlane();
    await drainedAndTold();
    await nextBeat(({ data: { unreachable } }) => unreachable.length === 0);
    await kernel.connections([servicePort, 40_000]);
    expect((await order()).refusals).toEqual(['1 connections are open']);
    const answer = order();
    await kernel.connections();
    expect((await answer).accepted).toBe(true);
  });

  test('is refused while a proxy is out of reach, or a user at work', async () => {
    const port = await freePort('127.0.0.1');
    await start({ proxies: [{ host: '127.0.0.1', port }] });
    await controlPlane();
    await drainedAndTold();
    await kernel.write('sessions/1', 'CLASS=user\nSTATE=active\n');
    await nextBeat(({ data: { unreachable } }) => unreachable.length === 1);
    expect((await order()).refusals).toEqual([
      expect.stringContaining(`proxy 127.0.0.1:${port}`),
      '1 users are logged in',
    ]);
  });

  test('that fails is a fact', async () => {
    run = async () => {
      throw new Error('no such program');
    };
    await start();
    await controlPlane();
    await drainedAndTold();
    await nextBeat(({ data: { unreachable } }) => unreachable.length === 0);
    await order();
    const { data } = await next('FLEET', 'SleepOrderFailed');
    expect(data).toEqual({ ...s1, sleepId: 'z1', error: 'no such program' });
    await until(() => agent?.fleet().servers.s1?.sleep?.attemptFailed === true);
  });

  test('that is none is refused', async () => {
    await start();
    expect(await harness.bus.ask('s1', { question: 'dance' }, 5_000)).toMatchObject({ accepted: false });
  });

  test('reaches it through the power driver, and its refusal comes back', async () => {
    await start();
    await controlPlane();
    await drainedAndTold();
    await nextBeat(({ data: { unreachable } }) => unreachable.length === 0);
    const method = { driver: 'agent', how: 'suspend', requestTimeoutMs: 10_000 } as never;
    const driver = createAgentDriver('s1', method, { ask: harness.bus.ask });
    const never = new AbortController().signal;
    await kernel.connections([servicePort, 40_000]);
    await expect(driver.sleep('graceful', never)).rejects.toMatchObject({ kind: 'refused' });
    await kernel.connections();
    await driver.sleep('graceful', never);
    await until(() => commands.length > 0);
    await expect(driver.sleep('forced', never)).rejects.toMatchObject({ kind: 'unsupported' });
    await expect(driver.wake(never)).rejects.toMatchObject({ kind: 'unsupported' });
    const absent = createAgentDriver('s2', method, { ask: harness.bus.ask });
    await expect(absent.sleep('graceful', never)).rejects.toMatchObject({ kind: 'unreachable' });
  });
});

describe('a shutdown', () => {
  test('is announced, and waits for the connections', async () => {
    await kernel.connections([servicePort, 40_000]);
    const running = await start({ shutdownWaitMs: 10_000 });
    let over = false;
    const announced = running.announceShutdown('test').then(() => {
      over = true;
    });
    const { data } = await next('FLEET', 'ServerShutdownAnnounced');
    expect(data).toEqual({ ...s1, bootId: 'boot-1', reason: 'test' });
    await nextBeat(({ data: { shuttingDown } }) => shuttingDown);
    expect(over).toBe(false);
    await kernel.connections();
    await announced;
  });

  test('is bounded in time whatever stays open', async () => {
    await kernel.connections([servicePort, 40_000]);
    await (await start()).announceShutdown('test');
  });

  test('is announced by the end of the agent where that means the machine’s', async () => {
    const running = await start({ announceOnStop: true });
    agent = undefined;
    await running.stop();
    expect((await next('FLEET', 'ServerShutdownAnnounced')).data.reason).toMatch(/told to stop/);
  });
});

test('HAProxy may ask it', async () => {
  const running = await start({ checkListen: { host: '127.0.0.1', port: 0 } });
  const answer = async () => {
    const socket = connect(running.checkPort ?? 0, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => {
      text += String(chunk);
    });
    await once(socket, 'close');
    return text;
  };
  expect(await answer()).toBe('up ready 100%\n');
  await kernel.write('wish', 'maint');
  await nextBeat(({ data: { wish } }) => wish === 'maint');
  expect(await answer()).toBe('up maint 100%\n');
});

test.each([
  ['NEMURI_AGENT_PROXIES', 'proxy'],
  ['NEMURI_AGENT_USERS', 'maybe'],
  ['NEMURI_AGENT_SHUTDOWN_WAIT_MS', '-1'],
  ['NEMURI_AGENT_CHECK_LISTEN', '9999'],
])('%s="%s" is refused by name', (variable, value) => {
  expect(() => agentSettings({ [variable]: value })).toThrow(new RegExp(`^${variable} .*"${value}"`));
});
