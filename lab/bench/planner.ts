import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../libs/runtime/errors.ts';
import { readFlags } from '../commandLine.ts';
import { rivals } from '../simulation/rivals.ts';
import { testBed } from '../simulation/world.ts';
import { latenessOf } from './hindsight.ts';
import { plotSeriesOf, rowsOf, summaryOf, type TraceOutcome, tableOf } from './plannerReport.ts';
import type { Conditions, Outcomes, Task } from './plannerTasks.ts';
import { traceName } from './plannerTasks.ts';
import { plotSvg } from './plot.ts';
import { createWorkers } from './workers.ts';

const help = `npm run bench:planner -- [options]

The planner and its rivals on every load series: energy against lateness. Each rival with its published parameters and
with the best ones in hindsight for that series that are at most as late as the planner with its defaults. Tables
(Markdown) on stderr, one JSON object as the last line on stdout, a plot for each series.

  --quick            one day and four hours only, coarse grids
  --trace CSV        this series; may be repeated (default: all in lab/traces)
  --late X           tune the rivals to this share of late requests instead; the planner is not run
  --setup-seconds N  (default 260)
  --wake-failure X   share of wakes that come to nothing (default 0)
  --seed N           (default 1)
  --jobs N           threads (default: one a core)
  --plots DIR        (default lab/bench/plots)
`;

const traces = [
  'nasa_1995-07-01_14d_1m',
  'nasa_1995-07-15_13d_1m',
  'wc98_1998-05-01_7d_10m_quiet',
  'wc98_1998-06-26T1330_4h_1s',
  'epa_1995-08-29_1d_1m',
  'aws_elb_2014-04-10_14d_5m',
].map((name) => `lab/traces/${name}.csv`);
const quickTraces = traces.filter((file) => /wc98.*_4h|epa/.test(file));
const scaleTrace = 'lab/traces/nasa_1995-07-01_14d_1m.csv';
const risks = [0.01, 0.001, 0.0001];
/** Suspend instead of boot. */
const quickSetupSeconds = 10;
const failingWakes = 0.05;

const values = readFlags(help, {
  quick: { type: 'boolean', default: false },
  trace: { type: 'string', multiple: true },
  late: { type: 'string' },
  'setup-seconds': { type: 'string', default: String(testBed.setupSeconds) },
  'wake-failure': { type: 'string', default: '0' },
  seed: { type: 'string', default: '1' },
  jobs: { type: 'string', default: String(availableParallelism()) },
  plots: { type: 'string', default: 'lab/bench/plots' },
});

const say = (text: string) => void process.stderr.write(`${text}\n`);

async function bench(): Promise<void> {
  const startMs = performance.now();
  const conditions: Conditions = {
    seed: Number(values.seed),
    setupSeconds: Number(values['setup-seconds']),
    wakeFailure: Number(values['wake-failure']),
  };
  const workers = createWorkers(join(import.meta.dirname, 'plannerWorker.js'), Number(values.jobs));
  const run = <T extends Task>(task: T) => workers.run(task) as Promise<Outcomes[T['kind']]>;
  try {
    const files = values.trace ?? (values.quick ? quickTraces : traces);
    const outcomes = await Promise.all(files.map((file) => onTrace(file, conditions, run)));
    await mkdir(values.plots, { recursive: true });
    for (const outcome of outcomes) {
      say(tableOf(outcome));
      const file = join(values.plots, `${outcome.trace}.svg`);
      await writeFile(file, plotSvg(outcome.trace, plotSeriesOf(outcome)));
    }
    const decideMicros: Record<string, unknown> = {};
    if (values.late === undefined) {
      // Alone on the machine, or the 99th percentile is that of the neighbours.
      for (const servers of values.quick ? [14] : [14, 1_000, 10_000]) {
        decideMicros[servers] = await run({ kind: 'scale', trace: scaleTrace, conditions, servers });
      }
      say(`decideMicros ${JSON.stringify(decideMicros)}`);
    }
    const summary = Object.fromEntries(
      outcomes.map((outcome) => [outcome.trace, summaryOf(outcome) ?? null]),
    );
    const report = {
      bench: 'planner',
      quick: values.quick,
      ...conditions,
      machine: `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`,
      benchSeconds: Math.round((performance.now() - startMs) / 1_000),
      summary,
      traces: Object.fromEntries(outcomes.map((outcome) => [outcome.trace, rowsOf(outcome)])),
      decideMicros,
    };
    process.stdout.write(`${JSON.stringify(report)}\n`);
  } finally {
    await workers.close();
  }
}

type Run = <T extends Task>(task: T) => Promise<Outcomes[T['kind']]>;

async function onTrace(trace: string, conditions: Conditions, run: Run): Promise<TraceOutcome> {
  const policyRow = async (
    policy: string,
    setting: string,
    risk?: number,
    other: Partial<Conditions> = {},
  ) => {
    const task = { kind: 'policy', trace, policy, conditions: { ...conditions, ...other } } as const;
    return { policy, setting, ...(await run(risk === undefined ? task : { ...task, risk })) };
  };
  const rows = [policyRow('optimal', 'clairvoyant'), policyRow('zeroSetupOptimal', 'clairvoyant')];
  if (values.late === undefined) {
    rows.push(policyRow('nemuri', 'default'));
    for (const risk of values.quick ? [] : risks) rows.push(policyRow('nemuri', `risk ${risk}`, risk));
    if (!values.quick) {
      rows.push(
        policyRow('nemuri', `wake failure ${failingWakes}`, undefined, { wakeFailure: failingWakes }),
        policyRow('nemuri', `setup ${quickSetupSeconds} s`, undefined, { setupSeconds: quickSetupSeconds }),
      );
    }
  }
  const done = await Promise.all(rows);
  const own = done.find(({ policy, setting }) => policy === 'nemuri' && setting === 'default');
  const lateness = own ? latenessOf(own) : Number(values.late);
  const stride = values.quick ? 3 : 1;
  const tuned = await Promise.all(
    Object.keys(rivals).map(async (policy) => {
      const outcome = await run({ kind: 'rival', trace, conditions, policy, lateness, stride });
      say(`${traceName(trace)}: ${policy}, ${outcome.runs} settings tried`);
      return [policy, outcome] as const;
    }),
  );
  return { trace: traceName(trace), rows: done, rivals: Object.fromEntries(tuned) };
}

await bench().catch((error) => {
  say(`bench:planner: ${messageOf(error, 4_000)}`);
  process.exitCode = 1;
});
