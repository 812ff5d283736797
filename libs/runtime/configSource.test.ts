import { EventEmitter, once } from 'node:events';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bus, BusTimeoutError, createMemoryBus, StaleWriterError } from '../bus/mod.ts';
import type { FleetConfig, RecordedEvent } from '../events/mod.ts';
import { parseConfig } from './config.ts';
import { publishConfig, watchConfig } from './configSource.ts';

function yamlOf(minServers: number): string {
  return `version: 1
pools: { web: { minServers: ${minServers} } }
servers:
  web-1: { pool: web, url: "http://10.0.0.1", capacityRps: 100 }
  web-2: { pool: web, url: "http://10.0.0.2", capacityRps: 100 }
`;
}

function configOf(minServers: number): FleetConfig {
  const result = parseConfig(yamlOf(minServers), { file: 'test' });
  if (!result.ok) throw new Error('the test configuration is not valid');
  return result.config;
}

let bus: Bus;
beforeEach(() => {
  bus = createMemoryBus();
});
afterEach(() => bus.close());

async function history(): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for await (const event of bus.history('FLEET', 1)) events.push(event);
  return events;
}

/** Minimum servers of each configuration in the history. */
async function configured(): Promise<(number | undefined)[]> {
  const events = await history();
  return events.map((event) =>
    event.type === 'FleetConfigured' ? event.data.config.pools.web?.minServers : undefined,
  );
}

describe('publishConfig', () => {
  test('takes a configuration in, and an equal one not again', async () => {
    expect(await publishConfig(bus, configOf(1), 'test')).toEqual({ published: true, sequence: 1 });
    expect(await publishConfig(bus, configOf(1), 'other')).toEqual({ published: false, sequence: 1 });
    expect(await publishConfig(bus, configOf(2), 'test')).toEqual({ published: true, sequence: 2 });
    expect(await publishConfig(bus, configOf(1), 'test')).toEqual({ published: true, sequence: 3 });
    expect((await history())[0]?.data).toEqual({ config: configOf(1), origin: 'test' });
  });

  test('is fenced: when another writer comes between, looks again and writes after it', async () => {
    let raced = false;
    const racing: Bus = Object.create(bus, {
      publish: {
        value: async (...args: Parameters<Bus['publish']>) => {
          if (!raced) {
            raced = true;
            await publishConfig(bus, configOf(2), 'rival');
          }
          return bus.publish(...args);
        },
      },
    });
    expect(await publishConfig(racing, configOf(1), 'test')).toEqual({ published: true, sequence: 2 });
    expect(await configured()).toEqual([2, 1]);
  });

  test('gives up when it stays the stale one', async () => {
    let tries = 0;
    const stale: Bus = Object.create(bus, {
      publish: {
        value: async () => {
          tries += 1;
          throw new StaleWriterError('x', 0);
        },
      },
    });
    await expect(publishConfig(stale, configOf(1), 'test')).rejects.toThrow(StaleWriterError);
    expect(tries).toBe(5);
  });
});

describe('watchConfig', () => {
  let directory: string;
  let file: string;
  let abort: AbortController;
  let ended: Promise<void>;
  let told: EventEmitter;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'nemuri-watch-'));
    file = join(directory, 'nemuri.yaml');
    abort = new AbortController();
    ended = Promise.resolve();
    told = new EventEmitter();
  });
  afterEach(async () => {
    abort.abort();
    await ended;
    await rm(directory, { recursive: true });
  });

  async function start(watched: Bus = bus, pollIntervalMs = 60_000): Promise<boolean> {
    const result = await watchConfig({
      file,
      bus: watched,
      signal: abort.signal,
      debounceMs: 20,
      pollIntervalMs,
      onApplied: (config) => told.emit('applied', config.pools.web?.minServers),
      onRefused: (problems) => told.emit('refused', problems),
      onProblem: (problem) => told.emit('problem', problem),
    });
    ended = result.ended;
    return result.applied;
  }

  test('applies the file at the start', async () => {
    await writeFile(file, yamlOf(1));
    expect(await start()).toBe(true);
    expect((await history())[0]?.data).toMatchObject({ origin: 'nemuri.yaml' });
  });

  test('says at once that the file is not there or not valid, and takes it in when it is', async () => {
    const refused = once(told, 'refused');
    expect(await start()).toBe(false);
    expect((await refused)[0]).toEqual([
      { file, line: 1, key: '', rule: "can't be read: there is no such file" },
    ]);
    const applied = once(told, 'applied');
    await writeFile(file, yamlOf(1));
    expect(await applied).toEqual([1]);
  });

  test('follows a file that is written in place', async () => {
    await writeFile(file, yamlOf(1));
    await start();
    const applied = once(told, 'applied');
    await writeFile(file, yamlOf(2));
    expect(await applied).toEqual([2]);
    expect(await configured()).toEqual([1, 2]);
  });

  test('follows an editor that replaces the file', async () => {
    await writeFile(file, yamlOf(1));
    await start();
    const applied = once(told, 'applied');
    await writeFile(join(directory, '.nemuri.swp'), yamlOf(2));
    await rename(join(directory, '.nemuri.swp'), file);
    expect(await applied).toEqual([2]);
  });

  test('follows a symbolic link that is swapped beside the file, as Kubernetes does', async () => {
    for (const [index, name] of ['one', 'two'].entries()) {
      await mkdir(join(directory, name));
      await writeFile(join(directory, name, 'nemuri.yaml'), yamlOf(index + 1));
    }
    await symlink('one', join(directory, '..data'));
    await symlink('..data/nemuri.yaml', file);
    await start();
    const applied = once(told, 'applied');
    await symlink('two', join(directory, '..next'));
    await rename(join(directory, '..next'), join(directory, '..data'));
    expect(await applied).toEqual([2]);
  });

  test('follows by polling where no change is told of', async () => {
    // The directory that is watched holds the link only; what it points to changes elsewhere.
    await mkdir(join(directory, 'elsewhere'));
    const real = join(directory, 'elsewhere', 'real.yaml');
    await writeFile(real, yamlOf(1));
    await symlink('elsewhere/real.yaml', file);
    await start(bus, 20);
    const applied = once(told, 'applied');
    await writeFile(real, yamlOf(2));
    expect(await applied).toEqual([2]);
  });

  test('refuses what is not valid with all its problems, keeps the old one, and takes the mended file', async () => {
    await writeFile(file, yamlOf(1));
    await start();
    const refused = once(told, 'refused');
    await writeFile(file, yamlOf(9).replace('capacityRps: 100', 'capacityRps: none'));
    expect((await refused)[0]).toMatchObject([
      { line: 2, key: 'pools.web.minServers', value: '9' },
      { line: 4, key: 'servers.web-1.capacityRps', value: '"none"' },
    ]);
    expect(await configured()).toEqual([1]);
    const applied = once(told, 'applied');
    await writeFile(file, yamlOf(2));
    expect(await applied).toEqual([2]);
    expect(await configured()).toEqual([1, 2]);
  });

  test('tries again when the bus did not take it', async () => {
    let refusals = 2;
    const lame: Bus = Object.create(bus, {
      publish: {
        value: async (...args: Parameters<Bus['publish']>) => {
          refusals -= 1;
          if (refusals >= 0) throw new BusTimeoutError('it', 1);
          return bus.publish(...args);
        },
      },
    });
    await writeFile(file, yamlOf(1));
    const applied = once(told, 'applied');
    expect(await start(lame, 20)).toBe(false);
    expect(await applied).toEqual([1]);
    expect(await configured()).toEqual([1]);
  });
});
