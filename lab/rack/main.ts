import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { rackConfig, rackConfigYaml } from './config.ts';
import { dayRack, daySettings } from './day.ts';
import { defaultModel, type ModelName, machineModels } from './models.ts';
import { randomPassword } from './options.ts';
import { startRack } from './rack.ts';
import { startStatusServer } from './status.ts';

/** Runs a rack as a process of its own: `node dist/lab/rack/main.js --servers 8 --out DIR`. */
function number(text: string): number {
  const value = Number(text);
  if (text === '' || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError('not a number of 0 or more');
  return value;
}

function model(text: string): ModelName {
  if (Object.hasOwn(machineModels, text)) return text as ModelName;
  throw new InvalidArgumentError(`one of ${Object.keys(machineModels).join(', ')}`);
}

const command = new Command('rack')
  .description('A virtual rack: real origin processes behind emulated Redfish BMCs')
  .option('--servers <n>', 'how many', number, 8)
  .option('--host <address>', 'address to bind', '127.0.0.1')
  .option('--advertise-host <name>', 'the host in the URLs of the config; default: --host')
  .option('--base-port <port>', 'BMC i at base + 2i, its origin one above; 0: free ports', number, 9_000)
  .option('--status-port <port>', 'GET /rack and /healthz; default: base port - 1', number)
  .option('--out <dir>', 'where ca.pem, bmc-password and nemuri.yaml are written', '.nemuri/rack')
  .option('--seed <n>', 'spreads set-up times', number, 1)
  .option('--model <name>', 'the machine', model, defaultModel)
  .option('--workers <n>', 'slots of an origin', number, 4)
  .option('--service-time-ms <ms>', 'mean time of an answer', number, 20)
  .option('--setup-time-ms <ms>', 'from Reset On to the first answer', number, 260_000)
  .option('--powering-on-ms <ms>', 'from Reset On until the power state reads On', number, 5_000)
  .option('--shutdown-ms <ms>', 'a graceful shutdown', number, 30_000)
  .option('--time-scale <factor>', 'how many times faster than real machines', number, 10)
  .option(
    '--day-seconds <s>',
    'machines and settings for a day compressed to that; overrides the times above',
    number,
  )
  .parse();

interface Options {
  readonly servers: number;
  readonly host: string;
  readonly advertiseHost?: string;
  readonly basePort: number;
  readonly statusPort?: number;
  readonly out: string;
  readonly seed: number;
  readonly model: ModelName;
  readonly workers: number;
  readonly serviceTimeMs: number;
  readonly setupTimeMs: number;
  readonly poweringOnMs: number;
  readonly shutdownMs: number;
  readonly timeScale: number;
  readonly daySeconds?: number;
}

const options = command.opts<Options>();
const { model: modelName, workers, serviceTimeMs, out, statusPort, basePort, daySeconds, ...rest } = options;
const day = daySeconds === undefined ? undefined : dayRack(options.servers, options.seed, daySeconds);
await mkdir(out, { recursive: true });
const here = fileURLToPath(import.meta.url);
const rack = await startRack({
  ...rest,
  ...(basePort === 0 ? {} : { basePort }),
  defaults: { model: modelName, workers, serviceTimeMs },
  ...(day === undefined ? {} : { ...day, timeScale: 1 }),
  directory: out,
  password: process.env.NEMURI_RACK_PASSWORD || randomPassword(),
  originScript: path.join(path.dirname(here), `origin${path.extname(here)}`),
});
const status = await startStatusServer(rack, options.host, statusPort ?? Math.max(0, basePort - 1));

const passwordFile = path.resolve(out, 'bmc-password');
await writeFile(passwordFile, rack.password, { mode: 0o600 });
const settings = day
  ? daySettings
  : ({ poolSettings: { healthCheck: { probe: { kind: 'http', path: '/healthz' } } } } as const);
const config = rackConfig(rack, { ...settings, password: `file:${passwordFile}` });
// Whoever waits for the file must never read half of it.
const configFile = path.resolve(out, 'nemuri.yaml');
await writeFile(`${configFile}.new`, rackConfigYaml(config));
await rename(`${configFile}.new`, configFile);
const address = status.address();
const boundPort = typeof address === 'object' && address ? address.port : 0;
process.stdout.write(
  `${JSON.stringify({ servers: rack.servers.length, config: configFile, statusPort: boundPort })}\n`,
);

let isStopping = false;
async function end(): Promise<void> {
  if (isStopping) return;
  isStopping = true;
  status.close();
  status.closeAllConnections();
  await rack.stop();
}
process.on('SIGTERM', end);
process.on('SIGINT', end);
