import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { request as startRequest } from 'node:http';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { familyOf, residentKiBOf } from '../bench/processes.ts';
import { type SoakSite, startSoakSite } from './site.ts';

const help = `Two crowds in front of a real proxy: clients of a pool that is wholly asleep, and idle WebSockets.

  --clients N     at once, all to be answered 200 after the wake (default 500)
  --more N        that come while those wait, each on a connection of its own; most are refused (default 100000)
  --webSockets N  held open, in front of two workers (default 10000)
  --hold N        for so many seconds (default 10)
  --json          the report as one JSON object on the last line
`;

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '500' },
    more: { type: 'string', default: '100000' },
    webSockets: { type: 'string', default: '10000' },
    hold: { type: 'string', default: '10' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const say = (line: string) => void process.stderr.write(`${line}\n`);
/** Connections at once of those that come in the crowd. */
const window = 1_000;
/** Each loopback address has its own ports. */
const addresses = 50;
const patienceMs = 300_000;
/** Of each server of the sleeping pool. */
const maxInFlight = 64;
/** As the pool has them (`parking.maxRequests`). */
const parkingPlaces = 1_000;

interface Answered {
  readonly status: number;
  /** Undefined: none. */
  readonly retryAfter: string | undefined;
  /** Of the error, when there was no answer. */
  readonly code?: string;
}

/** One request on a connection of its own. Status 0: none came. */
function visit(port: number, turn: number): Promise<Answered> {
  return new Promise((done) => {
    const localAddress = `127.0.1.${1 + (turn % addresses)}`;
    const path = `/chunks?seed=${turn}&bytes=60000`;
    const outgoing = startRequest({ host: '127.0.0.1', port, path, localAddress, agent: false });
    outgoing.once('response', (response) => {
      response.resume();
      const retryAfter = response.headers['retry-after'];
      response.once('close', () => done({ status: response.statusCode ?? 0, retryAfter }));
    });
    outgoing.once('error', ({ code = 'error' }: NodeJS.ErrnoException) =>
      done({ status: 0, retryAfter: undefined, code }),
    );
    outgoing.end();
  });
}

const residentMiB = (site: SoakSite) => Math.round(residentKiBOf(familyOf(site.proxy.pid ?? 0)) / 1_024);

async function untilParked(site: SoakSite, count: number): Promise<void> {
  for (;;) {
    const parked = (await site.metrics()).get('nemuri_parked') ?? 0;
    if (parked >= count) return;
    await delay(50);
  }
}

/** A pool at zero: those who came first wait, those who come in masses are bounded. */
async function crowdAtZero(clients: number, more: number) {
  const site = await startSoakSite({ servers: 3, maxInFlight, awake: false });
  try {
    const waiting = Array.from({ length: clients }, (_, turn) => visit(site.port, turn));
    await untilParked(site, clients);
    const beforeMiB = residentMiB(site);
    let mostMiB = beforeMiB;
    const sampler = setInterval(() => {
      mostMiB = Math.max(mostMiB, residentMiB(site));
    }, 200);
    const counts = { refused: 0, late: 0, other: 0 };
    const others = new Map<string, number>();
    const late: Promise<unknown>[] = [];
    let turn = clients;
    const startedMs = Date.now();
    const comeOne = () => {
      turn += 1;
      return visit(site.port, turn).then(({ status, retryAfter, code }) => {
        if (status === 503 && retryAfter !== undefined) counts.refused += 1;
        else if (status === 200) counts.late += 1;
        else {
          counts.other += 1;
          const what = code ?? String(status);
          others.set(what, (others.get(what) ?? 0) + 1);
        }
      });
    };
    // The first of them find the places that are left; from then on each is refused at once.
    const places = Math.min(more, Math.max(0, parkingPlaces - clients));
    for (let place = 0; place < places; place += 1) late.push(comeOne());
    await untilParked(site, clients + places);
    const worker = async () => {
      while (turn < clients + more) await comeOne();
    };
    await Promise.all(Array.from({ length: window }, worker));
    const crowdSeconds = (Date.now() - startedMs) / 1_000;
    say(
      `${more} more came in ${crowdSeconds} s: ${JSON.stringify({ ...counts, ...Object.fromEntries(others) })}`,
    );
    const metrics = await site.metrics();
    for (const server of site.servers) await site.wake(server);
    const statuses = (await Promise.all(waiting)).map(({ status }) => status);
    await Promise.all(late);
    clearInterval(sampler);
    const most = await Promise.all(site.servers.map(site.mostInFlight));
    const answered = statuses.filter((status) => status === 200).length;
    return {
      clients,
      answered,
      more,
      ...counts,
      others: Object.fromEntries(others),
      parkedAtMost: metrics.get('nemuri_parked') ?? 0,
      mostInFlight: Math.max(...most),
      limit: maxInFlight,
      beforeMiB,
      mostMiB,
      afterMiB: residentMiB(site),
      passed: answered === clients && counts.other === 0 && Math.max(...most) <= maxInFlight,
    };
  } finally {
    await site.stop();
  }
}

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
    await Promise.all(Array.from({ length: 50 }, (_, turn) => visit(site.port, turn)));
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
  const zero = clients > 0 ? await crowdAtZero(clients, more) : undefined;
  const webSockets = count > 0 ? await idleWebSockets(count, Number(values.hold)) : undefined;
  const report = { zero, webSockets };
  process.stdout.write(`${JSON.stringify(report, undefined, values.json ? undefined : 2)}\n`);
  if (zero?.passed === false || webSockets?.passed === false) process.exitCode = 1;
}

if (values.help) process.stdout.write(help);
else await main();
