import { connectionsOn, usersLoggedIn } from './look.ts';
import { createKernel, type FakeKernel } from './testing/kernel.ts';
import { createVitalsReader, kernelFolders, readBootId } from './vitals.ts';

let kernel: FakeKernel;
beforeEach(async () => {
  kernel = await createKernel();
});
afterEach(() => kernel.close());

describe('vitals', () => {
  test('are what the kernel says', async () => {
    expect(await readBootId(kernel)).toBe('boot-1');
    expect(await createVitalsReader(kernel, () => 0)()).toEqual({
      uptimeMs: 12_340,
      load1: 0.5,
      memoryTotalBytes: 1_024_000,
      memoryAvailableBytes: 409_600,
    });
  });

  test('watts are those of packages and memory between two readings, also past the end of a counter', async () => {
    const zone = async (name: string, kind: string, microjoules: number) => {
      await kernel.write(`powercap/${name}/name`, `${kind}\n`);
      await kernel.write(`powercap/${name}/energy_uj`, `${microjoules}\n`);
      await kernel.write(`powercap/${name}/max_energy_range_uj`, '100000000\n');
    };
    await zone('intel-rapl:0', 'package-0', 99_000_000);
    await zone('intel-rapl:0:0', 'core', 1);
    await zone('intel-rapl:0:1', 'dram', 1_000_000);
    let atMs = 0;
    const read = createVitalsReader(kernel, () => atMs);
    expect((await read()).powerWatts).toBeUndefined();
    await zone('intel-rapl:0', 'package-0', 19_000_000);
    await zone('intel-rapl:0:0', 'core', 50_000_000);
    await zone('intel-rapl:0:1', 'dram', 5_000_000);
    atMs = 2_000;
    expect((await read()).powerWatts).toBeCloseTo((20 + 4) / 2);
    await kernel.write('powercap/intel-rapl:0/energy_uj', '');
    await kernel.write('powercap/intel-rapl:0:1/energy_uj', '');
    atMs = 4_000;
    expect((await read()).powerWatts).toBeUndefined();
  });

  test('of this very machine', async () => {
    expect(await readBootId(kernelFolders)).toMatch(/^[0-9a-f-]{36}$/);
    expect((await createVitalsReader(kernelFolders, () => 0)()).uptimeMs).toBeGreaterThan(0);
  });
});

describe('the last look', () => {
  test('counts established connections to the port only', async () => {
    await kernel.connections([8080, 40_000], [8080, 40_001], [9090, 8080]);
    await kernel.write('proc/net/tcp6', `header\n 0: 0:1F90 0:9C40 01 0\n 1: 0:1F90 0:9C41 06 0\n`);
    expect(await connectionsOn(8080, kernel)).toBe(3);
    expect(await connectionsOn(80, kernel)).toBe(0);
  });

  test('counts sessions of users, not those of services or on their way out', async () => {
    expect(await usersLoggedIn(kernel)).toBe(0);
    await kernel.write('sessions/1', 'UID=1000\nSTATE=active\nCLASS=user\n');
    await kernel.write('sessions/2', 'UID=1000\nSTATE=closing\nCLASS=user\n');
    await kernel.write('sessions/c1', 'UID=120\nSTATE=online\nCLASS=greeter\n');
    expect(await usersLoggedIn(kernel)).toBe(1);
  });

  test('what can not be read is not none', async () => {
    await kernel.close();
    expect([await connectionsOn(80, kernel), await usersLoggedIn(kernel)]).toEqual([undefined, undefined]);
  });
});
