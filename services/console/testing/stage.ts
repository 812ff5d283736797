import { dirname, join } from 'node:path';
import type { Bus } from '../../../libs/bus/mod.ts';
import { makeNatsHarness, type NatsHarness } from '../../../libs/bus/testing/natsHarness.ts';
import { fleetConfig } from '../../../libs/domain/testing/builders.ts';
import type { FleetConfig } from '../../../libs/events/mod.ts';
import { systemChance, systemClock } from '../../../libs/runtime/clock.ts';
import { createLogger } from '../../../libs/runtime/log.ts';
import { loadAssets } from '../assets.ts';
import { type RunningConsole, startConsole } from '../console.ts';
import type { ConsoleSettings } from '../settings.ts';
import { createWhatif, type WhatifOptions } from '../whatif.ts';

/** A console on a real nats-server, and a bus to play the other services with. */
export interface Stage {
  readonly nats: NatsHarness;
  readonly bus: Bus;
  readonly address: string;
  readonly console: RunningConsole;
  close(): Promise<void>;
}

export const consoleFolder = join(__dirname, '..', 'public');
/** Needs `npm run build`. */
const script = join(__dirname, '../../../dist/lab/simulation/whatif.js');
const uplot = dirname(require.resolve('uplot'));
export const vendor = { 'uPlot.js': join(uplot, 'uPlot.esm.js'), 'uPlot.css': join(uplot, 'uPlot.min.css') };

export async function openStage(
  settings: Partial<ConsoleSettings> = {},
  config: FleetConfig = fleetConfig({ servers: 3 }),
  simulation: Partial<WhatifOptions> = {},
): Promise<Stage> {
  const nats = await makeNatsHarness();
  const bus = await nats.open();
  await bus.publish({ type: 'FleetConfigured', data: { config, origin: 'test' } });
  const own = await nats.open({ source: 'console' });
  const context = {
    settings: {
      service: 'console',
      name: 'console',
      natsUrls: [],
      adminHost: '127.0.0.1',
      adminPort: 0,
      logLevel: 'silent',
      stopTimeoutMs: 5_000,
    },
    bus: own,
    log: createLogger('console', 'console', 'silent'),
    telemetry: { enabled: false, stop: async () => {} },
    nowMs: Date.now,
    clock: systemClock,
    chance: systemChance,
  };
  const running = await startConsole(
    context,
    {
      host: '127.0.0.1',
      port: 0,
      token: undefined,
      origin: undefined,
      otlp: undefined,
      jaegerUrl: undefined,
      ...settings,
    },
    await loadAssets(consoleFolder, vendor),
    createWhatif({ script, env: { ...process.env, NEMURI_NATS_URL: nats.server.url }, ...simulation }),
  );
  return {
    nats,
    bus,
    address: running.address,
    console: running,
    async close() {
      await running.stop();
      await own.close();
      await bus.close();
      await nats.close();
    },
  };
}

export interface Frame {
  readonly id: string;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The frames of the live stream, as they come. End it by leaving the loop. */
export async function* liveFrames(
  address: string,
  headers: Readonly<Record<string, string>> = {},
): AsyncGenerator<Frame> {
  const abort = new AbortController();
  const signal = AbortSignal.any([abort.signal, AbortSignal.timeout(15_000)]);
  try {
    const response = await fetch(`${address}/api/live`, { headers, signal });
    if (!response.body) throw new Error('no body');
    let unread = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body) {
      const parts = (unread + decoder.decode(chunk, { stream: true })).split('\n\n');
      unread = parts.pop() ?? '';
      for (const part of parts) {
        const fields = new Map(
          part.split('\n').map((line) => [line.split(': ')[0], line.slice(line.indexOf(': ') + 2)]),
        );
        const data = fields.get('data');
        if (data === undefined) continue;
        yield { id: fields.get('id') ?? '', event: fields.get('event') ?? '', data: JSON.parse(data) };
      }
    }
  } finally {
    abort.abort();
  }
}
