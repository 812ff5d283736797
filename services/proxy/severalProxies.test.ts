import { demandOf, emptyLoadHistory, type LoadHistory, observeLoad } from '../../libs/domain/mod.ts';
import type { EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { renderPrometheus } from '../../libs/runtime/metrics.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { startProxy } from './proxy.ts';
import { configOf, createSite, type Site } from './testing/site.ts';

let site: Site;
let second: RunningService | undefined;

beforeEach(() => {
  site = createSite();
});

afterEach(async () => {
  await second?.stop();
  await site.close();
});

/** The sum of a metric's samples, with or without these labels. */
function sumOf(text: string, pattern: RegExp): number {
  return text
    .split('\n')
    .filter((line) => pattern.test(line))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

test('the load of several workers and proxies adds up: rates, parked, and each bucket of the histogram', async () => {
  await site.start(configOf([await site.origin((_request, response) => response.end('ok'))]));
  const port = await freePort('127.0.0.1');
  const settings = { host: '127.0.0.1', port, traceSampleRatio: 0 };
  second = await startProxy(site.harness.context('proxy-1'), settings);
  const ports = [...new Array(7).fill(site.port), ...new Array(5).fill(port)];
  const answers = ports.map((at) => fetch(`http://127.0.0.1:${at}/`).then(({ status }) => status));

  let history: LoadHistory = emptyLoadHistory;
  let latestMs = 0;
  const demand = () => demandOf(history, 60_000, 60_000, latestMs);
  await site.harness.nextEvent('TELEMETRY', (event: RecordedEvent): event is EventOf<'LoadSampled'> => {
    if (event.type !== 'LoadSampled') return false;
    const { data, timeMs } = event;
    latestMs = timeMs;
    history = observeLoad(history, { ...data, timeMs }, 60_000);
    return demand().parked === 12;
  });
  expect(demand()).toMatchObject({ liveProxies: 2, missingProxies: 0, parked: 12, inFlight: 0 });
  const arrivals = Object.values(history.byProxy).flatMap((samples) => samples.map((one) => one.arrivals));
  expect(arrivals.reduce((sum, count) => sum + count, 0)).toBe(12);

  await site.ready('s1');
  expect(await Promise.all(answers)).toEqual(new Array(12).fill(200));
  const text = renderPrometheus([...(site.proxy?.metrics?.() ?? []), ...(second.metrics?.() ?? [])]);
  expect(sumOf(text, /^nemuri_pool_requests_total\{/)).toBe(12);
  expect(sumOf(text, /^http_server_request_duration_seconds_bucket\{.*le="\+Inf"/)).toBe(12);
  expect(sumOf(text, /^http_client_request_duration_seconds_bucket\{.*server="s1".*le="\+Inf"/)).toBe(12);
  const bounds = (proxy: string) =>
    [...text.matchAll(/^http_server_request_duration_seconds_bucket\{proxy="([^"]+)".*le="([^"]+)"/gm)]
      .filter(([, name]) => name === proxy)
      .map(([, , bound]) => bound);
  expect(bounds('proxy-0')).toEqual(bounds('proxy-1'));
});
