import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rackConfig, rackConfigYaml } from '../rack/config.ts';
import { serverSpecs } from '../rack/options.ts';
import { startRack } from '../rack/rack.ts';
import type { Machines } from './machines.ts';
import type { TrialOptions } from './options.ts';
import { latencyObjectiveMs, telemetryMaxAgeMs, trialRack, trialSettings } from './settings.ts';

const passwordVariable = 'NEMURI_TRIAL_BMC_PASSWORD';
const pool = 'web';
const readyTimeoutMs = 90_000;
const maxMeterGapMs = 5_000;
const leastLeadInRps = 30;

/** A rack of an arm's own, every server on. @param folder where its files go; @param cleanUp told how it is ended. */
export async function startVirtualMachines(
  options: TrialOptions,
  folder: string,
  distDir: string,
  cleanUp: (work: () => Promise<unknown>) => void,
): Promise<Machines> {
  const rack = await startRack({
    ...trialRack(options),
    directory: folder,
    originScript: join(distDir, 'lab/rack/origin.js'),
  });
  cleanUp(() => rack.stop());
  const configFile = join(folder, 'nemuri.yaml');
  const settings = { ...trialSettings(options.speed), password: `env:${passwordVariable}` };
  await writeFile(configFile, rackConfigYaml(rackConfig(rack, settings)));
  const specs = serverSpecs(trialRack(options));
  return {
    pool,
    names: rack.servers.map(({ name }) => name),
    configFile,
    env: { [passwordVariable]: rack.password },
    streamLimits: { telemetryMaxAgeMs: telemetryMaxAgeMs(options.speed) },
    maxMeterGapMs,
    load: {
      path: '/?bytes=64',
      capacityRps: specs.reduce((sum, { capacityRps }) => sum + capacityRps, 0),
      latencyObjectiveMs,
      leastLeadInRps,
    },
    held: [{ type: 'PlannerPaused', data: { pool, reason: 'the load has not begun', by: 'trial' } }],
    released: [{ type: 'PlannerResumed', data: { pool, reason: 'the load begins', by: 'trial' } }],
    readyTimeoutMs,
    wakesAtEnd: false,
    rack,
  };
}
