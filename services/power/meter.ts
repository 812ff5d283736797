import { capacityRpsOf, modelledWatts, type ServerView } from '../../libs/domain/mod.ts';
import type { DraftOf } from '../../libs/events/mod.ts';
import type { MetricSample } from '../../libs/runtime/metrics.ts';
import type { PowerDriver } from './drivers/driver.ts';

/**
 * One meter reading of a server: measured by its hardware, or modelled from its lifecycle and load, and labelled so.
 * Of several meters the first that has a figure: a BMC may offer none where the plug before it does.
 * @param drivers those with a meter, in the order of the ladder.
 * @param loadRps what the proxies sent it lately, in requests/s.
 * @param onError told why a meter that is there could not be read.
 */
export async function meterServer(
  server: ServerView,
  drivers: readonly PowerDriver[],
  loadRps: number,
  signal: AbortSignal,
  onError: (error: unknown) => void,
): Promise<DraftOf<'PowerMetered'>['data']> {
  const about = { server: server.state.name, pool: server.state.pool };
  for (const driver of drivers) {
    const reading = await driver.meter(signal).catch(onError);
    if (reading && reading.powerWatts !== undefined) {
      return { ...about, powerWatts: reading.powerWatts, meter: 'measured', meterSource: reading.source };
    }
  }
  return { ...about, powerWatts: modelOf(server, loadRps), meter: 'modelled', meterSource: 'energy model' };
}

function modelOf({ state, pool, config }: ServerView, loadRps: number): number {
  const { energy } = config;
  if (state.powerState === 'off') return energy.offWatts;
  if (state.lifecycle === 'waking') return energy.setupWatts;
  return modelledWatts(energy, loadRps / capacityRpsOf(state, pool, config));
}

/** A reading as the metric that it is. */
export function wattsSample({
  pool,
  server,
  meter,
  powerWatts,
}: DraftOf<'PowerMetered'>['data']): MetricSample {
  return { name: 'nemuri.server.power', labels: { pool, server, source: meter }, value: powerWatts };
}
