import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rackConfig, rackConfigYaml } from '../../lab/rack/config.ts';
import { daySettings } from '../../lab/rack/day.ts';
import { type Rack, startRack } from '../../lab/rack/rack.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { type Stack, startStack } from '../../libs/runtime/stack.ts';

/** One trace from a request that was parked to the first byte served, received as real OTLP. Needs `npm run build`. */

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly events?: readonly { readonly name: string }[];
}

interface OtlpBody {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly Span[] }[] }[];
}

const patienceMs = 30_000;
let folder: string;
let receiver: Server;
let rack: Rack | undefined;
let stack: Stack | undefined;
const spans: Span[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemuri-trace-'));
  receiver = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as OtlpBody;
    spans.push(...body.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    receiver.emit('spans');
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
});

afterEach(async () => {
  await stack?.stop();
  await rack?.stop();
  receiver.closeAllConnections();
  receiver.close();
  await rm(folder, { recursive: true, force: true });
});

async function untilSpans(fits: (all: readonly Span[]) => boolean): Promise<void> {
  const signal = AbortSignal.timeout(patienceMs);
  while (!fits(spans)) await once(receiver, 'spans', { signal });
}

test('one trace: parked request, decision, wake, Redfish, first byte', async () => {
  rack = await startRack({
    servers: 1,
    setupTimeMs: 300,
    poweringOnMs: 50,
    shutdownMs: 50,
    directory: folder,
    defaults: { initialPower: 'off' },
  });
  const configFile = join(folder, 'nemuri.yaml');
  const poolSettings = { ...daySettings.poolSettings, minServers: 0 };
  const config = rackConfig(rack, { ...daySettings, poolSettings, password: 'env:TEST_BMC_PASSWORD' });
  await writeFile(configFile, rackConfigYaml(config));
  const { port } = receiver.address() as AddressInfo;
  const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
  const lines: string[] = [];
  stack = await startStack({
    distDir: 'dist',
    configFile,
    storeDir: join(folder, 'nats'),
    listen,
    adminListen: '127.0.0.1:0',
    env: {
      TEST_BMC_PASSWORD: rack.password,
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '50',
      NEMURI_TRACE_SAMPLE_RATIO: '0',
    },
    onLine: (source, line) => void lines.push(`${source} ${line}`),
  });
  const signal = AbortSignal.timeout(patienceMs);
  await Promise.all(Object.values(stack.services).map((service) => service.whenStarted(signal)));
  const view = await openFleetView({ bus: stack.bus, name: 'check', onProblem: () => {} });
  await view.when(({ servers }) => servers['server-1']?.lifecycle === 'asleep', signal);
  await view.close();

  // The client's own context, not sampled: the trace is kept because the request is parked.
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  const response = await fetch(`http://${listen}/hello`, {
    signal,
    headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-00` },
  });
  expect(response.status).toBe(200);

  const named = (name: RegExp) => spans.find((span) => span.traceId === traceId && name.test(span.name));
  const wanted = [/^GET web$/, /^decide$/, /^wake$/, /^wake attempt$/, /^redfish POST$/];
  await untilSpans(() => wanted.every((name) => named(name))).catch(() => {
    throw new Error(
      `seen: ${spans.map((span) => `${span.name} ${span.traceId}`).join('\n')}\n${lines.join('\n')}`,
    );
  });
  const [request, decide, wake, attempt, post] = wanted.map((name) => named(name));
  expect(request?.parentSpanId).toBe('00f067aa0ba902b7');
  expect(decide?.parentSpanId).toBe(request?.spanId);
  expect(wake?.parentSpanId).toBe(decide?.spanId);
  expect(attempt?.parentSpanId).toBe(wake?.spanId);
  expect(post?.parentSpanId).toBe(attempt?.spanId);
  expect(request?.events?.map(({ name }) => name)).toEqual(['parked', 'released', 'first byte']);
  const reset = rack
    .bmcRequests('server-1')
    .find(({ method, path }) => method === 'POST' && /Reset/.test(path));
  expect(reset?.traceparent).toContain(traceId);
}, 90_000);
