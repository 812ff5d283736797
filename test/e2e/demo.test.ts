import { isDeepStrictEqual } from 'node:util';
import { type Demo, startDemo } from '../../lab/demo/demo.ts';
import { parseDemoOptions } from '../../lab/demo/options.ts';
import type { Fleet } from '../../libs/domain/mod.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import type { SupervisedProcess } from '../../libs/runtime/supervisor.ts';

/**
 * The whole, as real processes under load: kill -9 of each service and of nats-server, one after the other, and a
 * replacement of the proxy's worker. Needs `npm run build`.
 */

const patienceMs = 30_000;
let demo: Demo | undefined;

afterEach(async () => {
  await demo?.close();
  demo = undefined;
});

/** Resolves when the condition holds; each look is a request or a read of its own. */
async function eventually(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadlineMs = Date.now() + patienceMs;
  while (!(await condition())) {
    if (Date.now() > deadlineMs) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function fetchJson(service: SupervisedProcess, path: string): Promise<unknown> {
  const { admin } = await service.whenStarted(AbortSignal.timeout(patienceMs));
  const response = await fetch(`http://127.0.0.1:${admin.port}${path}`);
  return response.ok ? response.json() : undefined;
}

async function killAndAwaitReturn(service: SupervisedProcess): Promise<void> {
  const { pid } = service;
  service.kill('SIGKILL');
  await eventually(
    `${service.name} has another process`,
    () => service.pid !== undefined && service.pid !== pid,
  );
  await eventually(`${service.name} is ready`, async () => {
    const body = await fetchJson(service, '/readyz').catch(() => undefined);
    return body !== undefined;
  });
}

/** The part of a fold that is knowledge: everything. Two folds up to the same sequence must be equal. */
async function fleetHeldBy(service: SupervisedProcess): Promise<Fleet> {
  return (await fetchJson(service, '/fleet')) as Fleet;
}

test('kill -9 of planner, power, health and nats-server under load loses no request and no knowledge', async () => {
  const options = parseDemoOptions(['--seconds', '120', '--servers', '4', '--seed', '3']);
  if (options === 'help') throw new Error('no options');
  const running = await startDemo(options, 'dist', () => {});
  demo = running;
  const { planner, power, health, proxy } = running.stack.services;
  const decisions = () => running.view.counts.CapacityDecided ?? 0;
  const carriesOn = async (what: string) => {
    const before = { decisions: decisions(), requests: running.load.requests };
    await eventually(
      `decisions and requests go on after ${what}`,
      () => decisions() > before.decisions && running.load.requests > before.requests,
    );
  };

  await carriesOn('the start');
  for (const service of [planner, power, health]) {
    await killAndAwaitReturn(service);
    await carriesOn(`kill -9 of ${service.name}`);
  }
  await running.stack.nats?.kill('SIGKILL');
  await carriesOn('kill -9 of nats-server');
  proxy.kill('SIGHUP');
  await carriesOn('a new proxy worker');

  running.end();
  const report = await running.finished;
  expect(report.causes).toEqual({});
  expect(report.failed).toBe(0);
  expect(report.requests).toBeGreaterThan(100);

  const view = await openFleetView({ bus: running.stack.bus, name: 'check', onProblem: () => {} });
  for (const service of [planner, power, health, proxy]) {
    // Facts go on arriving: the two are compared when they stand at the same sequence.
    await eventually(`${service.name} holds what the stream says`, async () => {
      const held = await fleetHeldBy(service);
      if (held.sequence !== view.fleet.sequence) return false;
      const folded = JSON.parse(JSON.stringify(view.fleet));
      if (!isDeepStrictEqual(held, folded)) expect(held).toEqual(folded);
      return true;
    });
  }
  await view.close();
}, 120_000);
