import { readFile } from 'node:fs/promises';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { formatProblem, parseConfig } from '../../libs/runtime/config.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { readTrace } from '../traces/trace.ts';
import { parseSimulateOptions, type SimulateOptions, simulateHelp } from './options.ts';
import { reportOf, reportText } from './report.ts';
import { policyNames, simulatePolicy } from './simulate.ts';
import { createWorld, factsOf, testBed, testBedPeakRps } from './world.ts';

/** @throws Error with every problem of the file. */
async function readConfig(file: string): Promise<FleetConfig> {
  const result = parseConfig(await readFile(file, 'utf8'), { file });
  if (result.ok) return result.config;
  throw new Error(result.problems.map(formatProblem).join('\n'));
}

async function run(options: SimulateOptions): Promise<void> {
  if (!policyNames.includes(options.policy)) {
    throw new Error(`--policy must be one of ${policyNames.join(', ')} (got "${options.policy}")`);
  }
  const config = options.config === undefined ? undefined : await readConfig(options.config);
  const facts = config ? factsOf(config) : options.facts;
  const configuredPeakRps =
    (facts.servers * facts.capacityRps * testBedPeakRps) / (testBed.servers * testBed.capacityRps);
  const peakRps = options.peakRps ?? (config ? configuredPeakRps : testBedPeakRps);
  const world = createWorld(await readTrace(options.trace), facts, { ...options, peakRps });
  const startMs = performance.now();
  const result = await simulatePolicy(world, { ...options, config });
  const wallSeconds = (performance.now() - startMs) / 1_000;
  const report = reportOf({ options, world, result, wallSeconds, mixed: config !== undefined });
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `${reportText(report)}\n`);
}

try {
  const options = parseSimulateOptions(process.argv.slice(2));
  if (options === 'help') process.stdout.write(simulateHelp);
  else await run(options);
} catch (error) {
  process.stderr.write(`nemuri simulate: ${messageOf(error, 4_000)}\n`);
  process.exitCode = 2;
}
