import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { type Rack, type RackOptions, startRack } from './rack.ts';
import { contentOf } from './workload.ts';

const quick = { setupTimeMs: 400, setupSpread: 0, poweringOnMs: 150, shutdownMs: 400 };
const closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(options: Partial<RackOptions> = {}): Promise<Rack> {
  const rack = await startRack({ servers: 2, ...quick, ...options });
  closing.push(rack.stop);
  return rack;
}

/** A client of one rack: plain requests to origins (each on a new connection), resets and readings of BMCs. */
function clientOf(rack: Rack) {
  const bmcAgent = new Agent({ connect: { ca: rack.caPem } });
  const originAgent = new Agent({ pipelining: 0 });
  const keepAliveAgent = new Agent();
  closing.push(
    () => bmcAgent.destroy(),
    () => originAgent.destroy(),
    () => keepAliveAgent.destroy(),
  );
  const authorization = `Basic ${Buffer.from(`${rack.username}:${rack.password}`).toString('base64')}`;
  const server = (name: string) => {
    const found = rack.servers.find((candidate) => candidate.name === name);
    if (!found) throw new Error(`no ${name}`);
    return found;
  };
  return {
    getKeptAlive: (name: string, path = '/') =>
      request(server(name).originUrl + path, { dispatcher: keepAliveAgent }),
    get: (name: string, path = '/') => request(server(name).originUrl + path, { dispatcher: originAgent }),
    post: (name: string, body: Buffer) =>
      request(`${server(name).originUrl}/?ms=1`, { method: 'POST', body, dispatcher: originAgent }),
    async reset(name: string, ResetType: string) {
      const answer = await request(
        `${server(name).bmcUrl}/redfish/v1/Systems/1/Actions/ComputerSystem.Reset`,
        {
          method: 'POST',
          dispatcher: bmcAgent,
          headers: { authorization, 'content-type': 'application/json' },
          body: JSON.stringify({ ResetType }),
        },
      );
      await answer.body.dump();
      return answer.statusCode;
    },
    async read(name: string, path: string) {
      const answer = await request(server(name).bmcUrl + path, {
        dispatcher: bmcAgent,
        headers: { authorization },
      });
      return (await answer.body.json()) as Record<string, unknown>;
    },
  };
}

async function until(isDone: () => boolean): Promise<void> {
  const signal = AbortSignal.timeout(10_000);
  while (!isDone()) await pause(10, undefined, { signal });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const pidOf = (rack: Rack, name: string) => rack.status(name).originPid ?? -1;

describe('the virtual rack', () => {
  test('serves real HTTP from a process for each server', async () => {
    const rack = await start();
    const { get, post } = clientOf(rack);
    const first = await get('server-1', '/?ms=1&bytes=3000');
    expect(first.headers['x-server']).toBe('server-1');
    expect(Buffer.from(await first.body.arrayBuffer())).toEqual(contentOf(3_000));
    const second = await get('server-2');
    expect(second.headers['x-server']).toBe('server-2');
    expect((await second.body.text()).length).toBe(1_024);
    const sent = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 256));
    const echo = await post('server-1', sent);
    expect(Buffer.from(await echo.body.arrayBuffer()).equals(sent)).toBe(true);
    expect(isAlive(pidOf(rack, 'server-1'))).toBe(true);
    expect(pidOf(rack, 'server-1')).not.toBe(pidOf(rack, 'server-2'));
    expect(await readFile(rack.caFile, 'utf8')).toBe(rack.caPem);
  });

  test('ForceOff kills the process and the request in it; On brings a new boot at the same address', async () => {
    const rack = await start();
    const { get, reset, read } = clientOf(rack);
    const bootId = (await get('server-1')).headers['x-boot-id'];
    const pid = pidOf(rack, 'server-1');
    const pending = get('server-1', '/?ms=60000');
    pending.catch(() => undefined);
    await until(() => rack.status('server-1').load.busySlots > 0);
    expect(await reset('server-1', 'ForceOff')).toBe(204);
    await expect(pending).rejects.toThrow();
    await until(() => !isAlive(pid));
    await expect(get('server-1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect((await read('server-1', '/redfish/v1/Systems/1')).PowerState).toBe('Off');

    const askedMs = performance.now();
    await reset('server-1', 'On');
    expect((await read('server-1', '/redfish/v1/Systems/1')).PowerState).toBe('PoweringOn');
    await rack.waitFor('server-1', 'booting');
    expect((await read('server-1', '/redfish/v1/Systems/1')).PowerState).toBe('On');
    await expect(get('server-1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await rack.waitFor('server-1', 'serving');
    const tookMs = performance.now() - askedMs;
    expect(tookMs).toBeGreaterThanOrEqual(rack.servers[0]?.energy.setupTimeMs ?? 0);
    const again = await get('server-1', '/healthz');
    expect(again.statusCode).toBe(200);
    expect(again.headers['x-boot-id']).not.toBe(bootId);
  });

  test('a graceful shutdown lets short requests finish, takes no new ones and cuts the long', async () => {
    const rack = await start();
    const { get, getKeptAlive, reset, read } = clientOf(rack);
    expect((await getKeptAlive('server-2', '/?ms=1')).headers.connection).toBe('keep-alive');
    const short = getKeptAlive('server-1', '/?ms=250');
    const long = get('server-1', '/?ms=60000');
    long.catch(() => undefined);
    await until(() => rack.status('server-1').load.busySlots === 2);
    await reset('server-1', 'GracefulShutdown');
    expect((await read('server-1', '/redfish/v1/Systems/1')).PowerState).toBe('PoweringOff');
    let refused = '';
    while (refused === '') {
      refused = await get('server-1', '/healthz').then(
        () => '',
        (error: { code?: string }) => error.code ?? 'unknown',
      );
    }
    expect(refused).toBe('ECONNREFUSED');
    const answered = await short;
    expect([answered.statusCode, answered.headers.connection]).toEqual([200, 'close']);
    expect(rack.status('server-1').state).toBe('poweringOff');
    await expect(long).rejects.toThrow();
    await rack.waitFor('server-1', 'off');
    expect(rack.status('server-2').state).toBe('serving');
  });

  test('works in its slots only, in order, and reports how busy they are', async () => {
    const rack = await start({ servers: 1, defaults: { workers: 1 }, maxQueue: 1 });
    const { get, read } = clientOf(rack);
    const first = get('server-1', '/?ms=600');
    await until(() => rack.status('server-1').load.busySlots === 1);
    const second = get('server-1', '/?ms=1');
    await until(() => rack.status('server-1').load.queued === 1);
    expect((await get('server-1')).statusCode).toBe(503);
    expect((await get('server-1', '/healthz')).statusCode).toBe(200);
    await until(() => rack.status('server-1').load.utilization === 1);
    expect((await read('server-1', '/redfish/v1/Chassis/1/Power')).PowerControl).toMatchObject([
      { PowerConsumedWatts: 200 },
    ]);
    let done = '';
    const order = [
      first.then(() => {
        done += 'first ';
      }),
      second.then(() => {
        done += 'second ';
      }),
    ];
    await Promise.all(order);
    expect(done).toBe('first second ');
    await until(() => rack.status('server-1').powerWatts === 140);
  });

  test('keeps the true energy of its states, and what it would be with every server on', async () => {
    const rack = await start();
    const { get } = clientOf(rack);
    rack.cutPower('server-2');
    rack.resetEnergy();
    const from = rack.energy();
    await (await get('server-1', '/healthz')).body.dump();
    await rack.waitFor('server-2', 'off');
    await until(() => rack.energy().timeMs > from.fromMs + 50);
    const to = rack.energy();
    const hours = (to.timeMs - from.fromMs) / 3_600_000;
    expect(hours).toBeGreaterThan(0);
    expect(to.fleetWh).toBeCloseTo((140 + 10) * hours, 12);
    expect(to.alwaysOnWh).toBeCloseTo(2 * 140 * hours, 12);
    await (await get('server-1', '/?ms=300')).body.dump();
    await until(() => rack.status('server-1').load.completed >= 1);
    // One slot of four was busy for 300 ms: the work raises both, the always-on half of it on each.
    const busy = rack.energy();
    const after = (busy.timeMs - to.timeMs) / 3_600_000;
    expect(busy.fleetWh - to.fleetWh).toBeGreaterThan(150.5 * after);
    expect(busy.alwaysOnWh - to.alwaysOnWh).toBeGreaterThan(280.5 * after);
    expect(busy.perServer['server-2']?.onMs).toBe(0);
  });

  test('a crashed origin is on but serves nothing; the button and a restart do what they do', async () => {
    const rack = await start();
    const { get, reset } = clientOf(rack);
    rack.crashOrigin('server-1');
    await rack.waitFor('server-1', 'crashed');
    expect(rack.status('server-1')).toMatchObject({ powerState: 'On', powerWatts: 140 });
    await expect(get('server-1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await reset('server-1', 'ForceRestart');
    await rack.waitFor('server-1', 'serving');
    rack.pressButton('server-1');
    await rack.waitFor('server-1', 'off');
    rack.pressButton('server-1');
    await rack.waitFor('server-1', 'serving');
    await reset('server-1', 'GracefulRestart');
    await rack.waitFor('server-1', 'poweringOn');
    await rack.waitFor('server-1', 'serving');
  });

  test('a boot can be slow or endless', async () => {
    const rack = await start({ servers: [{ name: 'a', initialPower: 'off' }] });
    expect(rack.status('a')).toMatchObject({ state: 'off', powerWatts: 10, originPid: undefined });
    rack.setFaults('a', [{ kind: 'slowBoot', factor: Number.POSITIVE_INFINITY, times: 1 }]);
    rack.pressButton('a');
    await rack.waitFor('a', 'booting');
    await expect(rack.waitFor('a', 'serving', 700)).rejects.toThrow('a is not serving within 700 ms');
    rack.cutPower('a');
    rack.pressButton('a');
    await rack.waitFor('a', 'serving', 2_000);
  });

  test('a process started ahead is deaf until its machine has booted, and a life of its own', async () => {
    const rack = await start({ startAhead: true });
    const { get, reset } = clientOf(rack);
    const bootId = (await get('server-1')).headers['x-boot-id'];
    await reset('server-1', 'ForceOff');
    expect(rack.status('server-1').originPid).toBeUndefined();
    await reset('server-1', 'On');
    // It is there at once: nothing was started for this set-up.
    const ahead = pidOf(rack, 'server-1');
    await rack.waitFor('server-1', 'booting');
    await expect(get('server-1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await rack.waitFor('server-1', 'serving');
    expect(pidOf(rack, 'server-1')).toBe(ahead);
    expect((await get('server-1')).headers['x-boot-id']).not.toBe(bootId);
    await reset('server-1', 'ForceOff');
    await rack.stop();
    expect(isAlive(ahead)).toBe(false);
  });

  test('leaves nothing behind', async () => {
    const rack = await start({ servers: 3 });
    const pids = rack.servers.map(({ name }) => pidOf(rack, name));
    rack.pressButton('server-2');
    await rack.stop();
    expect(pids.filter(isAlive)).toEqual([]);
    expect(existsSync(rack.caFile)).toBe(false);
  });

  test('says what is wrong with its options', async () => {
    await expect(startRack({ servers: 0 })).rejects.toThrow('at least one server');
    await expect(startRack({ servers: [{ name: 'a' }, { name: 'a' }] })).rejects.toThrow('same name');
    const rack = await start({ servers: 1 });
    expect(() => rack.status('nobody')).toThrow('the rack has no server "nobody"');
    const port = Number(new URL(rack.servers[0]?.bmcUrl ?? '').port);
    await expect(startRack({ servers: 1, basePort: port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  test('the same seed gives the same set-up times, another seed others', async () => {
    const spread = { servers: [1, 2, 3].map(() => ({ initialPower: 'off' as const })), setupSpread: 0.2 };
    const times = async (seed: number) =>
      (await start({ ...spread, seed })).servers.map(({ energy }) => energy.setupTimeMs);
    expect(await times(7)).toEqual(await times(7));
    expect(await times(7)).not.toEqual(await times(8));
  });
});
