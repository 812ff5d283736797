import { agentDriver } from '../../libs/domain/mod.ts';
import type { PowerMethod, ServerConfig } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { PowerTestJob, PowerTestStep } from '../../libs/runtime/powerTest.ts';
import { createDriverSet, type DriverSet, type MakeDriver } from './driverSet.ts';
import { commandText } from './drivers/commandText.ts';
import type { PowerDriver, PowerState } from './drivers/driver.ts';

export interface PowerTestOptions {
  readonly job: PowerTestJob;
  readonly makeDriver: MakeDriver;
  /** Whether the server serves now, by its pool's probe. */
  readonly serves: () => Promise<boolean>;
  readonly pause: (delayMs: number) => Promise<void>;
  /** Monotonic ms. */
  readonly nowMs: () => number;
  readonly onStep: (step: PowerTestStep) => void;
  readonly signal: AbortSignal;
}

/** Between two looks at a machine that is to change. */
const lookIntervalMs = 500;
/** A server that is silent so many times in a row, and whose power nobody can read, is taken for off. */
const silencesUntilOff = 5;

interface Bench extends PowerTestOptions {
  readonly server: ServerConfig;
  readonly drivers: DriverSet;
  /** Every step passes here; false: it failed. */
  readonly tell: (step: Omit<PowerTestStep, 'elapsedMs'>, sinceMs: number) => boolean;
}

/**
 * Tries how one server is switched, without a bus. Every rung is read; with `really`, the machine goes through one
 * cycle and comes back to where it was: what is on sleeps and is woken, what is off is woken and sleeps. Once it
 * sleeps it is woken whatever happens, a cancel included.
 * @returns whether every step succeeded.
 */
export async function testPower(options: PowerTestOptions): Promise<boolean> {
  const { job, onStep, nowMs } = options;
  const server = job.config.servers[job.server];
  if (!server) throw new Error(`no server ${job.server} is configured`);
  const drivers = createDriverSet(options.makeDriver);
  drivers.configure({ ...job.config, servers: { [job.server]: server } });
  let ok = true;
  const tell: Bench['tell'] = (step, sinceMs) => {
    if (!step.ok) ok = false;
    onStep({ ...step, elapsedMs: Math.round(nowMs() - sinceMs) });
    return step.ok;
  };
  const bench = { ...options, server, drivers, tell };
  try {
    for (const [rung, method] of server.power.entries()) await readRung(bench, rung, method);
    if (job.really && ok) await cycle(bench);
    return ok;
  } finally {
    await drivers.close();
  }
}

async function readRung({ job, drivers, signal, tell, nowMs }: Bench, rung: number, method: PowerMethod) {
  const driver = drivers.driverOf(job.server, rung);
  if (!driver) return;
  const about = { rung, driver: driver.name };
  const attempt = async (step: PowerTestStep['step'], read: () => Promise<string>) => {
    const sinceMs = nowMs();
    try {
      tell({ ...about, step, ok: true, detail: await read() }, sinceMs);
    } catch (error) {
      signal.throwIfAborted();
      tell({ ...about, step, ok: false, detail: messageOf(error) }, sinceMs);
    }
  };
  const { capabilities } = driver;
  if (capabilities.has('readPower')) await attempt('reads', () => driver.readPower(signal));
  if (capabilities.has('meter')) {
    await attempt('meters', async () => {
      const { powerWatts, source } = await driver.meter(signal);
      return `${powerWatts === undefined ? 'no figure' : `${powerWatts} W`}: ${source}`;
    });
  }
  const wouldBe = { wake: 'wouldWake', sleep: 'wouldSleep' } as const;
  for (const act of ['wake', 'sleep'] as const) {
    if (!capabilities.has(act)) continue;
    tell({ ...about, step: wouldBe[act], ok: true, detail: commandText(method, act) }, nowMs());
  }
}

async function cycle(bench: Bench): Promise<void> {
  const { job, drivers, signal, tell, nowMs } = bench;
  if (!sleeperOf(bench) || !drivers.driverThat(job.server, 'wake')) {
    const detail = 'a cycle needs a method that sleeps without an agent and one that wakes';
    tell({ step: 'sleeps', ok: false, detail }, nowMs());
    return;
  }
  const state = await stateOf(bench, signal);
  if (state === 'off') {
    if (await wake(bench, signal)) await sleep(bench);
    return;
  }
  if (state !== 'on') {
    tell({ step: 'sleeps', ok: false, detail: `its power state is ${state}: left alone` }, nowMs());
    return;
  }
  try {
    await sleep(bench);
  } finally {
    // Also when it is cancelled, or when the sleep seems to have failed: fail awake.
    await wake(bench, signal.aborted ? new AbortController().signal : signal);
  }
}

/** By the hardware, or, where nobody can read it, by whether it serves. */
async function stateOf({ job, drivers, serves }: Bench, signal: AbortSignal): Promise<PowerState> {
  const reader = drivers.driverThat(job.server, 'readPower');
  if (reader) return reader.readPower(signal);
  return (await serves()) ? 'on' : 'off';
}

/** Looks again and again; a look that fails is a look in vain, since BMCs fall silent while power changes. */
async function until(bench: Bench, signal: AbortSignal, timeoutMs: number, look: () => Promise<boolean>) {
  const deadlineMs = bench.nowMs() + timeoutMs;
  while (bench.nowMs() < deadlineMs) {
    signal.throwIfAborted();
    if (await look().catch(() => false)) return true;
    await bench.pause(lookIntervalMs);
  }
  return false;
}

async function command(
  { tell, nowMs }: Bench,
  step: 'wakes' | 'sleeps',
  { rung, driver, send }: { rung?: number; driver: PowerDriver; send: () => Promise<void> },
): Promise<boolean> {
  const about = { step, driver: driver.name, ...(rung === undefined ? {} : { rung }) };
  const sinceMs = nowMs();
  try {
    await send();
    return tell({ ...about, ok: true, detail: 'sent' }, sinceMs);
  } catch (error) {
    return tell({ ...about, ok: false, detail: messageOf(error) }, sinceMs);
  }
}

/** An agent obeys only what the history holds, and a test writes none. */
function sleeperOf({ job, drivers }: Bench): PowerDriver | undefined {
  const able = drivers.driversOf(job.server).filter(({ capabilities }) => capabilities.has('sleep'));
  return able.find(({ name }) => name !== agentDriver);
}

async function sleep(bench: Bench): Promise<boolean> {
  const { job, drivers, server, serves, signal, tell, nowMs } = bench;
  const driver = sleeperOf(bench);
  const timeoutMs = server.power.find(
    (_, rung) => drivers.driverOf(job.server, rung) === driver,
  )?.gracefulOffTimeoutMs;
  if (!driver || timeoutMs === undefined) return false;
  const sinceMs = nowMs();
  if (!(await command(bench, 'sleeps', { driver, send: () => driver.sleep('graceful', signal) })))
    return false;
  const readable = drivers.driverThat(job.server, 'readPower') !== undefined;
  let silences = 0;
  const ok = await until(bench, signal, timeoutMs, async () => {
    if (readable) return (await stateOf(bench, signal)) === 'off';
    silences = (await serves()) ? 0 : silences + 1;
    return silences >= silencesUntilOff;
  });
  const how = readable
    ? 'the hardware says off'
    : `silent ${silencesUntilOff} times; nobody can read its power`;
  return tell({ step: 'isOff', ok, detail: ok ? how : `not off within ${timeoutMs} ms` }, sinceMs);
}

async function wake(bench: Bench, signal: AbortSignal): Promise<boolean> {
  const { server, serves, tell, nowMs } = bench;
  const sinceMs = nowMs();
  if (!(await climb(bench, signal))) {
    return tell({ step: 'isOn', ok: false, detail: 'not on after every rung of its wake ladder' }, sinceMs);
  }
  tell({ step: 'isOn', ok: true, detail: 'it is on' }, sinceMs);
  const timeoutMs = server.wakeTimeoutMs;
  const ok = await until(bench, signal, timeoutMs, serves);
  return tell({ step: 'serves', ok, detail: ok ? server.url : `no answer within ${timeoutMs} ms` }, sinceMs);
}

/** The wake ladder, each rung with its tries, until the machine is on. */
async function climb(bench: Bench, signal: AbortSignal): Promise<boolean> {
  const { job, drivers, server } = bench;
  const confirmed = async () => (await stateOf(bench, signal)) === 'on';
  for (const [rung, { tries, confirmTimeoutMs }] of server.power.entries()) {
    const driver = drivers.driverOf(job.server, rung);
    if (!driver?.capabilities.has('wake')) continue;
    for (let attempt = 0; attempt < tries; attempt += 1) {
      const sent = await command(bench, 'wakes', { rung, driver, send: () => driver.wake(signal) });
      if (sent && (await until(bench, signal, confirmTimeoutMs, confirmed))) return true;
    }
  }
  return false;
}
