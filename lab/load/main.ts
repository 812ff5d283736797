import { parseArgs } from 'node:util';
import { createLogger } from '../../libs/runtime/log.ts';
import { seededRandom } from '../rack/random.ts';
import { coarsen, dayOf, durationSeconds, rateAt, readTrace } from '../traces/trace.ts';
import { poissonArrivals } from './arrivals.ts';
import { runOpenLoop } from './openLoop.ts';

const help = `Open-loop load: replays one day of a load series, compressed.

  --url URL          where to send requests
  --trace CSV        the series (default lab/traces/nasa_1995-07-01_14d_1m.csv)
  --day N            which day of it, from 0 (default 4: Wednesday)
  --seconds N        the day takes this long (default 60)
  --peak-rps N       requests/s at the day's highest point (default 100)
  --timeout-ms N     a request not answered by then has failed (default 30000)
  --seed N           the same seed gives the same arrivals (default 1)
  --repeat           day after day, until it is stopped
`;

/** The day's shape at about this many points: single minutes are noise at the speed of a demo. */
const shapePoints = 144;
const progressIntervalMs = 1_000;

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    trace: { type: 'string', default: 'lab/traces/nasa_1995-07-01_14d_1m.csv' },
    day: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '60' },
    'peak-rps': { type: 'string', default: '100' },
    'timeout-ms': { type: 'string', default: '30000' },
    seed: { type: 'string', default: '1' },
    repeat: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const abort = new AbortController();
const log = createLogger('load', 'load', process.env.NEMURI_LOG_LEVEL ?? 'info');
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => abort.abort());
process.on('disconnect', () => process.exit(1));

async function run(url: string): Promise<void> {
  const day = dayOf(await readTrace(values.trace), Number(values.day));
  const shape = coarsen(day, durationSeconds(day) / shapePoints);
  const seconds = Number(values.seconds);
  const peak = Math.max(...shape.rates);
  const peakRps = Number(values['peak-rps']);
  const random = seededRandom(Number(values.seed));
  const rateOf = (at: number) => (rateAt(shape, (at / seconds) * durationSeconds(shape)) / peak) * peakRps;
  do {
    const arrivals = poissonArrivals(rateOf, peakRps, seconds, random);
    const loop = runOpenLoop({
      url,
      arrivals,
      timeoutMs: Number(values['timeout-ms']),
      signal: abort.signal,
    });
    const progress = setInterval(() => {
      process.send?.({ kind: 'progress', result: loop.result(), inFlight: loop.inFlight });
    }, progressIntervalMs);
    const result = await loop.done;
    clearInterval(progress);
    process.send?.({ kind: 'result', result });
    log.info(result, 'a day of load is over');
  } while (values.repeat && !abort.signal.aborted);
}

if (values.help || !values.url) {
  process.stdout.write(help);
  process.exitCode = values.help ? 0 : 2;
} else {
  await run(values.url);
}
if (process.connected) process.disconnect();
