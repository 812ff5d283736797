import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { familyOf, residentKiBOf } from '../bench/processes.ts';
import { readFlags } from '../commandLine.ts';
import { crowdAtZero } from './crowdAtZero.ts';
import { type SoakSite, startSoakSite } from './site.ts';
import { visit } from './visit.ts';

const help = `Two crowds in front of a real proxy: clients of a pool that is wholly asleep, and idle WebSockets.

  --clients N     at once, all to be answered 200 after the wake (default 500)
  --more N        that come while those wait, each on a connection of its own; most are refused (default 100000)
  --atOnce N      connections of those at once (default 4000)
  --minutes N     for all of them to come and go; then it has failed (default 15)
  --growth N      MiB by which the proxy's resident memory may grow meanwhile (default 300)
  --maxConnections N  as the proxy has it (default: its own); more than that at once are turned away
  --webSockets N  held open, in front of two workers (default 10000)
  --hold N        for so many seconds (default 10)
  --json          the report as one JSON object on the last line

Each client of the crowd is to get a whole answer: 200, or 503 with Retry-After. Counted apart: those whose connection
was closed because proxy.maxConnections were open, as the proxy counts them too. Exit 1: anything else, or a bound broken.
`;

const values = readFlags(help, {
  clients: { type: 'string', default: '500' },
  more: { type: 'string', default: '100000' },
  atOnce: { type: 'string', default: '4000' },
  minutes: { type: 'string', default: '15' },
  growth: { type: 'string', default: '300' },
  maxConnections: { type: 'string' },
  webSockets: { type: 'string', default: '10000' },
  hold: { type: 'string', default: '10' },
  json: { type: 'boolean', default: false },
});

const say = (line: string) => void process.stderr.write(`${line}\n`);
const patienceMs = 300_000;
const residentMiB = (site: SoakSite) => Math.round(residentKiBOf(familyOf(site.proxy.pid ?? 0)) / 1_024);

/** The next word of this kind from a process. */
async function word(child: ChildProcess, kind: string): Promise<{ echoed?: number; lost: number }> {
  const signal = AbortSignal.timeout(patienceMs);
  for (;;) {
    const [message] = await once(child, 'message', { signal });
    if (message.kind === kind) return message;
  }
}

async function idleWebSockets(count: number, holdSeconds: number) {
  const workers = 2;
  const site = await startSoakSite({ servers: 4, workers, maxInFlight: count });
  const holders: ChildProcess[] = [];
  const processes = 2;
  try {
    await Promise.all(
      Array.from({ length: 50 }, (_, turn) => visit({ port: site.port, turn, bytes: 60_000, patienceMs })),
    );
    const beforeMiB = residentMiB(site);
    const script = resolve('dist/lab/soak/holder.js');
    const each = String(Math.ceil(count / processes));
    const url = `ws://127.0.0.1:${site.port}/chat`;
    for (let index = 0; index < processes; index += 1) holders.push(fork(script, [url, each]));
    await Promise.all(holders.map((child) => word(child, 'open')));
    const openMiB = residentMiB(site);
    say(`${count} WebSockets are open: ${openMiB - beforeMiB} MiB`);
    await delay(holdSeconds * 1_000);
    const echoes = holders.map((child) => word(child, 'echoed'));
    for (const child of holders) child.send('echo');
    const heard = await Promise.all(echoes);
    const echoed = heard.reduce((sum, one) => sum + (one.echoed ?? 0), 0);
    const lost = heard.reduce((sum, one) => sum + one.lost, 0);
    return {
      count,
      workers,
      holdSeconds,
      echoed,
      lost,
      beforeMiB,
      openMiB,
      kibEach: Math.round(((openMiB - beforeMiB) * 1_024) / count),
      passed: lost === 0 && echoed >= count,
    };
  } finally {
    for (const child of holders) child.kill('SIGKILL');
    await site.stop();
  }
}

async function main(): Promise<void> {
  const [clients, more, count] = [values.clients, values.more, values.webSockets].map(Number) as [
    number,
    number,
    number,
  ];
  const deadlineMs = Number(values.minutes) * 60_000;
  const { maxConnections } = values;
  const proxy = maxConnections === undefined ? {} : { maxConnections: Number(maxConnections) };
  const bounds = { atOnce: Number(values.atOnce), deadlineMs, growthMiB: Number(values.growth), proxy, say };
  const zero = clients > 0 ? await crowdAtZero({ clients, more, ...bounds }) : undefined;
  const webSockets = count > 0 ? await idleWebSockets(count, Number(values.hold)) : undefined;
  const report = { zero, webSockets };
  process.stdout.write(`${JSON.stringify(report, undefined, values.json ? undefined : 2)}\n`);
  if (zero?.passed === false || webSockets?.passed === false) process.exitCode = 1;
}

await main();
