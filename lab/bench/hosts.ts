import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { endProcess } from '../../libs/runtime/supervisor.ts';
import { run } from './processes.ts';

/** How a host dies: its web server is killed; it is cut off the network; its web server hangs. */
export const deaths = ['killed', 'blackHoled', 'hung'] as const;
export type Death = (typeof deaths)[number];

export const originPort = 8_080;
/** Where requests come from; probes that could be taken for some come from the other. */
const requestsFrom = '10.77.0.1';
const probesFrom = '10.77.0.2';
/** Processes of this user (nobody) send from `probesFrom`. */
export const proberUid = 65_534;
const bridge = 'nemuri0';
const startTimeoutMs = 10_000;

/** A host in a network namespace of its own, behind a bridge. */
export interface Host {
  readonly name: string;
  readonly address: string;
  /** The same host, for health checks that are to be told from requests. */
  readonly checkAddress: string;
  readonly isOn: boolean;
  powerOn(): Promise<void>;
  powerOff(): Promise<void>;
  die(how: Death): Promise<void>;
  /** Whatever it died of, it is well again. */
  revive(): Promise<void>;
}

export interface Hosts {
  readonly all: readonly Host[];
  /** Epoch ms at which requests were begun to this host, since `forget`: connections and first sendings of data. */
  requestsTo(host: Host): readonly number[];
  forget(): void;
  stop(): Promise<void>;
}

/**
 * Hosts behind a bridge, in the network namespace of this process, which must be its own: everything is gone with it.
 * Needs root, iproute2, util-linux and tcpdump.
 */
export async function startHosts(count: number): Promise<Hosts> {
  const ip = (...args: string[]) => run('ip', args);
  await ip('link', 'set', 'lo', 'up');
  await ip('link', 'add', bridge, 'type', 'bridge');
  for (const address of [requestsFrom, probesFrom]) await ip('addr', 'add', `${address}/24`, 'dev', bridge);
  await ip('link', 'set', bridge, 'up');
  await ip('rule', 'add', 'uidrange', `${proberUid}-${proberUid}`, 'lookup', '77');
  await ip('route', 'add', '10.77.0.0/24', 'dev', bridge, 'src', probesFrom, 'table', '77');
  const holders: ChildProcess[] = [];
  const all: OwnHost[] = [];
  for (let index = 0; index < count; index += 1) {
    // The namespace outlives the web server that is killed in it.
    const holder = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
    holders.push(holder);
    await once(holder, 'spawn');
    all.push(await createHost(index, holder.pid ?? 0));
  }
  const witness = await startWitness();
  return {
    all,
    requestsTo: ({ address }) => witness.seen.get(address) ?? [],
    forget: () => witness.seen.clear(),
    async stop() {
      await witness.stop();
      await Promise.all(all.map((host) => host.powerOff()));
      await Promise.all(holders.map((holder) => endProcess(holder, 1_000)));
      await ip('link', 'del', bridge);
    },
  };
}

type OwnHost = Host;

async function createHost(index: number, holderPid: number): Promise<OwnHost> {
  const name = `s${index + 1}`;
  const address = `10.77.0.${11 + index}`;
  const checkAddress = `10.77.0.${111 + index}`;
  const inside = (...command: string[]) => ['-t', String(holderPid), '--net', ...command];
  const own = (...args: string[]) => run('nsenter', inside('ip', ...args));
  await untilNamespaced(holderPid);
  const [near, far] = [`near${index}`, `far${index}`];
  await run('ip', ['link', 'add', near, 'type', 'veth', 'peer', 'name', far]);
  await run('ip', ['link', 'set', far, 'netns', String(holderPid)]);
  await run('ip', ['link', 'set', near, 'master', bridge, 'up']);
  for (const one of [address, checkAddress]) await own('addr', 'add', `${one}/24`, 'dev', far);
  await own('link', 'set', 'lo', 'up');
  await own('link', 'set', far, 'up');
  let origin: ChildProcess | undefined;
  const powerOff = async () => {
    const ending = origin;
    origin = undefined;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    const gone = once(ending, 'exit');
    ending.kill('SIGKILL');
    await gone;
  };
  const powerOn = async () => {
    if (origin && origin.exitCode === null && origin.signalCode === null) return;
    const script = resolve(import.meta.dirname, 'hostOrigin.js');
    const started = spawn('nsenter', inside(process.execPath, script, String(originPort)), {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    origin = started;
    if (!started.stdout) throw new Error('an origin without stdout');
    await once(started.stdout, 'data', { signal: AbortSignal.timeout(startTimeoutMs) });
  };
  return {
    name,
    address,
    checkAddress,
    get isOn() {
      return origin !== undefined;
    },
    powerOn,
    powerOff,
    async die(how) {
      if (how === 'killed') origin?.kill('SIGKILL');
      else if (how === 'hung') origin?.kill('SIGSTOP');
      else await own('link', 'set', far, 'down');
    },
    async revive() {
      origin?.kill('SIGCONT');
      await own('link', 'set', far, 'up');
      await powerOn();
    },
  };
}

/** `unshare` has made the namespace when it has become the program that it runs. */
async function untilNamespaced(pid: number): Promise<void> {
  const own = await run('readlink', ['/proc/self/ns/net']);
  const deadlineMs = Date.now() + startTimeoutMs;
  while ((await run('readlink', [`/proc/${pid}/ns/net`])) === own) {
    if (Date.now() > deadlineMs) throw new Error('no network namespace for a host');
    await pause(10);
  }
}

/** Sees each packet that begins a request, once, however often it is sent again. */
async function startWitness() {
  const filter = `tcp and src host ${requestsFrom} and dst port ${originPort}`;
  const args = ['-i', bridge, '-n', '-tt', '-l', '-S', '--immediate-mode', filter];
  const child = spawn('tcpdump', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const seen = new Map<string, number[]>();
  const known = new Set<string>();
  const line = /^(\d+\.\d+) IP [\d.]+\.(\d+) > ([\d.]+)\.\d+: Flags \[([A-Z.]+)\], seq (\d+).* length (\d+)/;
  createInterface({ input: child.stdout }).on('line', (text) => {
    const [, time, port, address = '', flags = '', sequence, length] = line.exec(text) ?? [];
    const key = `${address} ${port} ${sequence}`;
    if (time === undefined || known.has(key) || !(flags.startsWith('S') || Number(length) > 0)) return;
    known.add(key);
    const times = seen.get(address) ?? [];
    seen.set(address, times);
    times.push(Number(time) * 1_000);
  });
  await once(child.stderr, 'data', { signal: AbortSignal.timeout(startTimeoutMs) });
  return { seen, stop: () => endProcess(child, 1_000) };
}
