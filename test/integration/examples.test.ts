import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parse } from 'yaml';
import type { Bus } from '../../libs/bus/mod.ts';
import { makeNatsHarness, type NatsHarness } from '../../libs/bus/testing/natsHarness.ts';
import { draftOf } from '../../libs/domain/testing/builders.ts';
import { catalog, type EventType } from '../../libs/events/mod.ts';
import { signatureOf } from '../../libs/runtime/webhooks.ts';

/** The programs of examples/, run as their readers would. */

let harness: NatsHarness;
let bus: Bus;
let child: ChildProcess | undefined;

beforeAll(async () => {
  harness = await makeNatsHarness();
  bus = await harness.open({ source: '/nemuri/test' });
});
afterEach(async () => {
  if (child && child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});
afterAll(async () => {
  await bus.close();
  await harness.close();
});

/** Starts a program; `line` resolves with its next line. */
function start(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const started = spawn(command, [...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NATS_URL: harness.server.url, ...env },
  });
  child = started;
  const lines = createInterface({ input: started.stdout })[Symbol.asyncIterator]();
  return async () => (await lines.next()).value as string | undefined;
}

test.each<[string, string[]]>([
  [process.execPath, ['examples/subscribe.mjs', 'nemuri.state.>']],
  ['python3', ['examples/subscribe.py', 'nemuri.state.>']],
])('%s %j prints what is published', async (command, args) => {
  const nextLine = start(command, args);
  const first = nextLine();
  let seen = false;
  void first.then(() => {
    seen = true;
  });
  // Subscribing takes an unknown time: facts are published until one is seen.
  while (!seen) {
    await bus.publish(draftOf('ServerPoweredOn', { server: 'web-1' }));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await first).toMatch(/^\d{4}-\S+Z nemuri\.ServerPoweredOn\.v1 \{"server": ?"web-1"/);
});

test('history.mjs prints the decisions of the last hour and ends', async () => {
  await bus.publish(draftOf('CapacityDecided', { reason: 'because of the load' }));
  const nextLine = start(process.execPath, ['examples/history.mjs']);
  expect(await nextLine()).toMatch(/Z because of the load$/);
  expect(await nextLine()).toBeUndefined();
});

test('webhook.mjs takes what is signed now, and nothing else', async () => {
  const nextLine = start(process.execPath, ['examples/webhook.mjs', '0'], { WEBHOOK_SECRET: 'hunter2' });
  const port = /\d+$/.exec((await nextLine()) ?? '')?.[0];
  const body = JSON.stringify({ time: 'now', type: 'nemuri.WakeTimedOut.v1', data: { server: 'web-1' } });
  const post = async (signature: string) => {
    const headers = { 'nemuri-signature': signature };
    return (await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body })).status;
  };
  expect(await post(signatureOf('wrong', body, Date.now()))).toBe(401);
  expect(await post(signatureOf('hunter2', body, Date.now() - 3_600_000))).toBe(401);
  expect(await post('t=1,v1=2')).toBe(401);
  expect(await post(signatureOf('hunter2', body, Date.now()))).toBe(204);
  expect(await nextLine()).toBe('now nemuri.WakeTimedOut.v1 {"server":"web-1"}');
});

test('home-assistant.yaml listens to topics and fields that there are', () => {
  const { mqtt } = parse(readFileSync('examples/home-assistant.yaml', 'utf8')) as {
    mqtt: { sensor: { state_topic: string; value_template: string }[] };
  };
  const ofTopic: Readonly<Record<string, EventType>> = {
    meter: 'PowerMetered',
    decision: 'CapacityDecided',
    load: 'LoadSampled',
  };
  for (const { state_topic: topic, value_template: template } of mqtt.sensor) {
    const type = ofTopic[topic.split('/')[1] ?? ''];
    const fields = [...template.matchAll(/value_json\.(\w+)/g)].map(([, field = '']) => field);
    const known = type ? Object.keys(catalog[type].schema.properties) : [];
    expect([topic, fields.filter((field) => !known.includes(field))]).toEqual([topic, []]);
  }
});
