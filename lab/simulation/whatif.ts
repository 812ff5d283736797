import { Command } from 'commander';
import { type Bus, connectJetStreamBus } from '../../libs/bus/mod.ts';
import { type FleetConfig, loadFilterOf, powerSubject, subjectFilters } from '../../libs/events/mod.ts';
import { busLogin } from '../../libs/runtime/busLogin.ts';
import { formatProblem, parseConfig, readConfigFile } from '../../libs/runtime/config.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { withSettings } from './changed.ts';
import type { NemuriResult } from './nemuri.ts';
import { type Recording, replayPlanned, startRecording, tooShort } from './recorded.ts';

/** The process behind `nemuri whatif`. */
interface Options {
  readonly config?: string;
  readonly set: readonly string[];
  readonly since: string;
  readonly pool?: string;
  readonly nats: string;
  readonly seed: string;
  readonly json?: boolean;
}

const unitsMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const connectTimeoutMs = 5_000;

/** Epoch ms of `90m`, `6h`, `2d` ago, or of an ISO time. @throws Error naming the rule and the value. */
function sinceMs(text: string, nowMs: number): number {
  const match = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text);
  const ms = match ? nowMs - Number(match[1]) * (unitsMs[match[2] ?? ''] ?? 0) : Date.parse(text);
  if (!Number.isFinite(ms) || ms >= nowMs) {
    throw new Error(`--since must be a time span such as 6h, or an ISO time that is past (got "${text}")`);
  }
  return ms;
}

async function newConfig(file: string): Promise<FleetConfig> {
  const parsed = parseConfig(await readConfigFile(file), { file });
  if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join('\n'));
  return parsed.config;
}

async function recorded(options: Options, fromMs: number, nowMs: number) {
  const bus = await connectJetStreamBus({
    servers: options.nats.split(','),
    ...(await busLogin(process.env)),
    source: '/nemuri/whatif',
    name: 'whatif',
    firstConnectTimeoutMs: connectTimeoutMs,
  });
  try {
    if (bus.lostSinceMs !== undefined)
      throw new Error(`no bus at ${options.nats} within ${connectTimeoutMs} ms`);
    const config = await presentConfig(bus);
    const pool = options.pool ?? Object.keys(config.pools)[0] ?? '';
    if (!Object.hasOwn(config.pools, pool))
      throw new Error(`there is no pool ${pool}; there are ${Object.keys(config.pools).join(', ')}`);
    const recorder = startRecording(pool, fromMs, nowMs);
    const take = async (stream: 'FLEET' | 'TELEMETRY', filter: string) => {
      const before = await bus.sequenceAt(stream, fromMs);
      for await (const event of bus.history(stream, before + 1, filter)) recorder.add(event);
    };
    await take('FLEET', powerSubject('*'));
    await take('TELEMETRY', loadFilterOf(pool));
    await take('TELEMETRY', subjectFilters.meter);
    return { config, recording: recorder.end() };
  } finally {
    await bus.close();
  }
}

async function presentConfig(bus: Bus): Promise<FleetConfig> {
  let config: FleetConfig | undefined;
  for await (const event of bus.history('FLEET', 1, subjectFilters.config))
    if (event.type === 'FleetConfigured') config = event.data.config;
  if (!config) throw new Error('the history holds no configuration');
  return config;
}

function figuresOf({ requests, late, refused, energyWh, wakes, seconds }: NemuriResult, servers: number) {
  return {
    energyWh: round(energyWh, 1),
    lateFraction: round(requests > 0 ? late / requests : 0, 6),
    refusedFraction: round(requests > 0 ? refused / requests : 0, 6),
    wakes,
    cyclesPerServerDay: round(wakes / Math.max(1, servers) / (seconds / 86_400), 2),
  };
}

function reportOf(recording: Recording, present: FleetConfig, changed: FleetConfig, seed: number) {
  const of = (config: FleetConfig) => {
    const servers = Object.values(config.servers).filter(({ pool }) => pool === recording.pool).length;
    return figuresOf(replayPlanned(recording, config, seed), servers);
  };
  const now = of(present);
  const whatif = of(changed);
  return {
    pool: recording.pool,
    seconds: recording.arrivals.length,
    requests: recording.requests,
    happened: { energyWh: round(recording.energyWh, 1), wakes: recording.wakes, failed: recording.failed },
    now,
    whatif,
    difference: {
      energyWh: round(whatif.energyWh - now.energyWh, 1),
      energyPercent: round(now.energyWh > 0 ? (whatif.energyWh / now.energyWh - 1) * 100 : 0, 1),
      lateFraction: round(whatif.lateFraction - now.lateFraction, 6),
      wakes: whatif.wakes - now.wakes,
    },
  };
}

function linesOf({
  pool,
  seconds,
  requests,
  happened,
  now,
  whatif,
  difference,
}: ReturnType<typeof reportOf>): string[] {
  const row = (name: string, figures: typeof now) =>
    `${name.padEnd(22)} ${String(figures.energyWh).padStart(10)} Wh  ${(figures.lateFraction * 100).toFixed(3)} % late  ` +
    `${figures.wakes} wakes  ${figures.cyclesPerServerDay} cycles per server and day`;
  return [
    `pool ${pool}: ${seconds} s of recorded load, ${requests} requests`,
    `${'what happened'.padEnd(22)} ${String(happened.energyWh).padStart(10)} Wh  metered; ${happened.failed} failed  ${happened.wakes} wakes`,
    row('planned as configured', now),
    row('changed', whatif),
    `difference: ${difference.energyWh} Wh (${difference.energyPercent} %), ${difference.wakes} wakes`,
  ];
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

const options = new Command('whatif')
  .description('the recorded load before the servers and settings of another configuration')
  .option('-c, --config <file>', 'the configuration to try (YAML)')
  .option(
    '--set <key=value>',
    'a setting of the pool to try, such as minServers=2 or planner.risk=0.01; again for more',
    (set: string, sets: string[]) => [...sets, set],
    [],
  )
  .option('--since <time>', 'how far back: 90m, 6h, or an ISO time; the load is recorded for a day', '6h')
  .option('--pool <name>', 'default: the first')
  .option('--nats <url>', 'NATS server', process.env.NEMURI_NATS_URL ?? 'nats://127.0.0.1:4222')
  .option('--seed <n>', 'for what is drawn at random', '1')
  .option('--json', 'one JSON object')
  .parse()
  .opts<Options>();
try {
  const nowMs = Date.now();
  if (options.config === undefined && options.set.length === 0)
    throw new Error(
      'say what to try: a configuration by -c FILE, or settings of the pool by --set KEY=VALUE',
    );
  const file = options.config === undefined ? undefined : await newConfig(options.config);
  const { config, recording } = await recorded(options, sinceMs(options.since, nowMs), nowMs);
  const changed = withSettings(file ?? config, recording.pool, options.set);
  const problem = tooShort(recording, config);
  if (problem) throw new Error(problem);
  const report = reportOf(recording, config, changed, Number(options.seed));
  const lines = options.json ? [JSON.stringify(report)] : linesOf(report);
  process.stdout.write(`${lines.join('\n')}\n`);
} catch (error) {
  process.stderr.write(`nemuri whatif: ${messageOf(error, 4_000)}\n`);
  process.exitCode = 2;
}
