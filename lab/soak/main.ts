import { setTimeout as delay } from 'node:timers/promises';
import { readFlags } from '../commandLine.ts';
import { seededRandom } from '../rack/random.ts';
import { runClients } from './clients.ts';
import { type SoakSite, startSoakSite } from './site.ts';
import { createTally } from './tally.ts';

const help = `Mixed traffic through a real proxy while its servers sleep, wake and die. Every body is known to both sides.

  --minutes N   how long (default 10)
  --seconds N   the same, for a short run
  --servers N   server processes (default 3)
  --seed N      of the traffic and of what happens to the servers (default 1)
  --json        the report as one JSON object on the last line

Exit 1: a request failed that could be tried again, or an answer was not what was asked for.
`;

const values = readFlags(help, {
  minutes: { type: 'string', default: '10' },
  seconds: { type: 'string' },
  servers: { type: 'string', default: '3' },
  seed: { type: 'string', default: '1' },
  json: { type: 'boolean', default: false },
});

/** What is done to the servers, one after the other; each entry ends with all of them awake. */
type Happening = (site: SoakSite, server: string) => Promise<void>;
const restMs = 700;
/** A client may notice a death so much later. */
const excuseMs = 3_000;

const happenings: Readonly<Record<string, Happening>> = {
  async sleep(site, server) {
    await site.sleep(server);
    await delay(restMs);
    await site.wake(server);
  },
  async death(site, server) {
    await site.kill(server);
    await delay(restMs);
    await site.wake(server);
  },
  /** The pool at zero: what comes meanwhile is parked. */
  async zero(site) {
    await Promise.all(site.servers.map((server) => site.sleep(server)));
    await delay(restMs);
    for (const server of site.servers) await site.wake(server);
  },
};

interface Sample {
  readonly heapBytes: number;
  readonly residentBytes: number;
}

const sampleIntervalMs = 500;
/** The heap goes up and down with each collection: its lowest points are what it holds. */
const heapSlackBytes = 8 * 1024 * 1024;
const heapSlackShare = 1.1;

function heapOf(samples: readonly Sample[]) {
  const lowest = (from: number, to: number) => {
    const part = samples.slice(Math.floor(from * samples.length), Math.ceil(to * samples.length));
    return Math.min(...part.map(({ heapBytes }) => heapBytes));
  };
  const early = lowest(0.2, 0.5);
  const late = lowest(0.7, 1);
  const mib = (bytes: number) => Math.round((bytes / 1024 / 1024) * 10) / 10;
  const isFlat = late <= early * heapSlackShare + heapSlackBytes;
  return { earlyMiB: mib(early), lateMiB: mib(late), isFlat };
}

async function soak(durationMs: number) {
  const site = await startSoakSite({ servers: Number(values.servers) });
  const random = seededRandom(Number(values.seed));
  const tally = createTally();
  const done = new AbortController();
  const samples: Sample[] = [];
  const counts: Record<string, number> = {};
  let eventLoopP99Ms = 0;
  let parked = 0;
  try {
    const endMs = Date.now() + durationMs;
    const isLossExcused = () => Date.now() - site.lastDeathMs < excuseMs;
    const clients = runClients({ port: site.port, tally, random, isLossExcused, signal: done.signal });
    const sampler = setInterval(async () => {
      const metrics = await site.metrics().catch(() => undefined);
      if (!metrics) return;
      parked = Math.max(parked, metrics.get('nemuri_parked') ?? 0);
      samples.push({
        heapBytes: metrics.get('v8js_memory_heap_used_bytes') ?? 0,
        residentBytes: metrics.get('process_memory_usage_bytes') ?? 0,
      });
      eventLoopP99Ms = (metrics.get('nodejs_eventloop_delay_p99_seconds') ?? 0) * 1_000;
    }, sampleIntervalMs);
    const kinds = Object.keys(happenings);
    while (Date.now() < endMs) {
      await delay(restMs);
      const kind = kinds[Math.floor(random() * kinds.length)] ?? 'sleep';
      const server = site.servers[Math.floor(random() * site.servers.length)] ?? 's1';
      await happenings[kind]?.(site, server);
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
    done.abort();
    await clients;
    clearInterval(sampler);
    const { restarts } = site.proxy;
    const heap = heapOf(samples);
    const residentMiB = Math.round(Math.max(...samples.map((sample) => sample.residentBytes)) / 1024 / 1024);
    const passed = tally.failed === 0 && tally.wrong === 0 && restarts === 0;
    return {
      seconds: Math.round(durationMs / 1_000),
      passed,
      ...tally,
      happenings: counts,
      mostParked: parked,
      eventLoopP99Ms: Math.round(eventLoopP99Ms * 100) / 100,
      heap,
      residentMiB,
      proxyRestarts: restarts,
    };
  } finally {
    done.abort();
    await site.stop();
  }
}

const seconds = values.seconds === undefined ? Number(values.minutes) * 60 : Number(values.seconds);
if (!(seconds > 0)) throw new Error('--minutes and --seconds must be numbers above 0');
const report = await soak(seconds * 1_000);
process.stdout.write(`${JSON.stringify(report, undefined, values.json ? undefined : 2)}\n`);
process.exitCode = report.passed ? 0 : 1;
