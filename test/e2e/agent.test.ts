import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Bus } from '../../libs/bus/mod.ts';
import { makeNatsHarness, type NatsHarness } from '../../libs/bus/testing/natsHarness.ts';
import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { EventOf, RecordedEvent, StreamName } from '../../libs/events/mod.ts';

let nats: NatsHarness;
let bus: Bus;

beforeAll(async () => {
  nats = await makeNatsHarness();
  bus = await nats.open();
});

afterAll(async () => {
  await bus.close();
  await nats.close();
});

async function next<T extends RecordedEvent['type']>(stream: StreamName, type: T): Promise<EventOf<T>> {
  return new Promise((resolve, reject) => {
    const onEvent = (event: RecordedEvent) => {
      if (event.type === type) resolve(event as EventOf<T>);
    };
    bus.subscribe({ stream, startAt: 'beginning', onEvent }).catch(reject);
  });
}

test('nemuri agent speaks, announces a shutdown when told, and ends', async () => {
  const config = fleetConfig({ servers: 1, bounds: { heartbeatIntervalMs: 50, heartbeatLeaseMs: 500 } });
  await bus.publish({ type: 'FleetConfigured', data: { config, origin: 'test' } });
  const agent = spawn(process.execPath, ['dist/agent/main.js'], {
    env: {
      ...process.env,
      NEMURI_NAME: 's1',
      NEMURI_NATS_URL: nats.server.url,
      NEMURI_ADMIN_LISTEN: '127.0.0.1:0',
      NEMURI_AGENT_SHUTDOWN_WAIT_MS: '300',
      NEMURI_AGENT_POWER_OFF_COMMAND: 'true',
    },
    stdio: 'ignore',
  });
  const ended = once(agent, 'exit');
  try {
    const early = ended.then(([code]) => Promise.reject(new Error(`the agent ended with ${code}`)));
    const { data } = await Promise.race([next('TELEMETRY', 'HeartbeatSent'), early]);
    expect(data).toMatchObject({ server: 's1', bootId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    const order = { question: 'sleep', how: 'powerOff' };
    expect(await bus.ask('s1', order, 10_000)).toMatchObject({ accepted: false });
    agent.kill('SIGUSR2');
    const announced = await next('FLEET', 'ServerShutdownAnnounced');
    expect(announced).toMatchObject({ source: '/nemuri/agent/s1', data: { bootId: data.bootId } });
    agent.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  } finally {
    agent.kill('SIGKILL');
  }
});
