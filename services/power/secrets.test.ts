import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { inspect } from 'node:util';
import { context, propagation, trace } from '@opentelemetry/api';
import { node, tracing } from '@opentelemetry/sdk-node';
import { pino } from 'pino';
import { until } from '../../libs/bus/testing/until.ts';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { parseConfig } from '../../libs/runtime/config.ts';
import { resolveSecret } from '../../libs/runtime/secrets.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { createDriver } from './drivers/registry.ts';
import { createWorkshop } from './drivers/testing/peers.ts';
import { startPower } from './power.ts';

/** Every driver with a secret, against peers that echo it in every failure: it gets into no event, log, span or error. */

const secret = 'hunter2-S3cr3t "&/+';
const writings = [secret, 'hunter2', encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
const workshop = createWorkshop();
const { PATH } = process.env;
let harness: Harness;
let power: RunningService | undefined;
let echo: Server;
const exporter = new tracing.InMemorySpanExporter();
const provider = new node.NodeTracerProvider({
  spanProcessors: [new tracing.SimpleSpanProcessor(exporter)],
});

beforeAll(() => provider.register());
afterAll(async () => {
  await provider.shutdown();
  trace.disable();
  context.disable();
  propagation.disable();
});

beforeEach(async () => {
  harness = createHarness();
  process.env.NEMURI_TEST_SECRET = secret;
  const script = 'echo "RAKP 2: password $IPMI_PASSWORD is wrong: $*" >&2; exit 1';
  process.env.PATH = await workshop.program('ipmitool', script);
  echo = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const message = `${request.url} ${JSON.stringify(request.headers)} ${body} ${secret}`;
      const answer = { error: { message, '@Message.ExtendedInfo': [{ Message: message }] }, output: message };
      response.writeHead(request.url === '/read' ? 200 : 401, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer));
    });
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
});

afterEach(async () => {
  await power?.stop();
  await harness.close();
  delete process.env.NEMURI_TEST_SECRET;
  process.env.PATH = PATH;
  echo.closeAllConnections();
  echo.close();
  await workshop.clear();
});

test('no secret of any driver gets into an event, a log, a span or an error', async () => {
  const address = echo.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const url = `http://127.0.0.1:${address.port}`;
  const pduPort = await workshop.udpPeer((message, reply) => reply(message.subarray(4)));
  const reference = 'env:NEMURI_TEST_SECRET';
  const shell = ['/bin/sh', '-c', 'echo "bad token $TOKEN" >&2; exit 77'];
  const outletOid = '1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.7';
  const methods = {
    redfish: { url, username: 'nemuri', password: reference },
    ipmi: { host: '127.0.0.1', username: 'nemuri', password: reference },
    wol: { macs: ['52:54:00:12:34:56'], secureOn: reference },
    exec: { wake: shell, readPower: shell, meter: shell, secrets: { TOKEN: reference } },
    http: {
      url,
      wake: { path: '/wake', method: 'POST' },
      readPower: { path: '/read', jsonPath: 'output' },
      meter: { path: '/meter', jsonPath: 'apower' },
      secretQuery: { password: reference },
      secretHeaders: { 'X-Auth': 'env:NEMURI_TEST_HEADER' },
      auth: { kind: 'basic', username: 'admin', password: reference },
    },
    'pdu-v2c': { host: '127.0.0.1', port: pduPort, outletOid, community: reference, requestTimeoutMs: 60 },
    'pdu-v3': {
      host: '127.0.0.1',
      port: pduPort,
      outletOid: `${outletOid}.1`,
      user: { name: 'nemuri', authKey: reference, privKey: reference },
      requestTimeoutMs: 60,
    },
  };
  process.env.NEMURI_TEST_HEADER = 'hunter2-header';
  const names = Object.keys(methods);
  const servers = Object.entries(methods).map(([name, method], index) => {
    const driver = name.split('-')[0];
    const said = { driver, tries: 1, confirmTimeoutMs: 50, ...method };
    const place = { pool: 'web', url: `http://10.0.0.${index + 1}`, capacityRps: 1 };
    return [name, { ...place, power: [said], wakeTimeoutMs: 50, energy: { setupTimeMs: 50 } }];
  });
  const planner = { decideIntervalMs: 1, leaseMs: 1 };
  const text = JSON.stringify({
    version: 1,
    pools: { web: { minServers: names.length, planner } },
    servers: Object.fromEntries(servers),
    bounds: { maxConcurrentWakes: names.length, reconcileIntervalMs: 20, meterIntervalMs: 50 },
  });
  const parsed = parseConfig(text, { file: 'test.json' });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line) => void lines.push(line) });
  const events: string[] = [];
  const failedWakes = new Set<string>();
  const subscription = await harness.bus.subscribe({
    stream: 'FLEET',
    startAt: 'beginning',
    onEvent: (event) => {
      events.push(JSON.stringify(event));
      if (event.type === 'WakeAttemptFailed') failedWakes.add(event.data.server);
    },
    onMalformed: () => {},
  });
  await harness.configure(parsed.config);
  power = await startPower({ ...harness.context('power'), log });

  const logged = (text: string) =>
    new Set(lines.filter((line) => line.includes(text)).map((line) => String(JSON.parse(line).server)));
  await until(() => failedWakes.size === names.length);
  await until(() => logged('power state not readable').size === names.length - 1);
  await until(() => logged('meter not readable').size >= 4);
  await subscription.stop();

  const spans = exporter
    .getFinishedSpans()
    .map(({ name, attributes, events, status }) => JSON.stringify([name, attributes, events, status]));
  for (const name of ['wake attempt', 'http GET']) {
    expect(spans.some((span) => span.startsWith(`["${name}"`))).toBe(true);
  }
  const errors = await errorsOf(parsed.config);
  expect(errors.length).toBeGreaterThan(names.length);
  const everything = [...events, ...lines, ...spans, ...errors].join('\n');
  for (const writing of writings) expect(everything).not.toContain(writing);
  expect(everything).not.toContain(Buffer.from(`admin:${secret}`).toString('base64'));
  delete process.env.NEMURI_TEST_HEADER;
});

/** Everything that can be seen of the errors that these drivers throw, their causes and hidden properties included. */
async function errorsOf(config: FleetConfig): Promise<string[]> {
  const never = new AbortController().signal;
  const noBus = () => Promise.reject(new Error('no bus'));
  const errors: string[] = [];
  for (const [server, { power: methods }] of Object.entries(config.servers)) {
    for (const method of methods) {
      const driver = createDriver(server, method, { resolveSecret, now: Date.now, ask: noBus });
      const acts = [
        driver.wake(never),
        driver.sleep('graceful', never),
        driver.sleep('forced', never),
        driver.readPower(never),
        driver.meter(never),
      ];
      for (const result of await Promise.allSettled(acts)) {
        if (result.status === 'fulfilled') continue;
        const { reason } = result;
        errors.push(inspect(reason, { depth: 12, showHidden: true }), String(reason), String(reason?.stack));
      }
      await driver.close();
    }
  }
  return errors;
}
