import type { Capability } from '../../libs/events/mod.ts';
import type { ProbeResult } from '../../libs/runtime/probe.ts';
import type { MakeProbe } from '../../services/health/prober.ts';
import { DriverError, type PowerDriver } from '../../services/power/drivers/driver.ts';
import type { Machine } from './machine.ts';
import type { SimProcess } from './process.ts';
import type { Scheduler } from './scheduler.ts';

/** What leads from a process to a machine. */
export interface WireOptions {
  readonly scheduler: Scheduler;
  readonly process: SimProcess;
  readonly random: () => number;
  /** A command that changes power has left the process. */
  readonly onCommand: (machine: Machine, command: 'wake' | 'graceful' | 'forced') => void;
}

const bmcTimeoutMs = 4_000;

/** A BMC that can do everything, or a magic packet that can only wake. */
export function simDriver(
  { scheduler, process, random, onCommand }: WireOptions,
  machine: Machine,
  capabilities: ReadonlySet<Capability>,
): PowerDriver {
  const name = capabilities.has('readPower') ? 'bmc' : 'packet';
  /** Connects, sends (from there on nobody holds it back), and waits for the answer. */
  const exchange = <T>(signal: AbortSignal, work: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      const settle = (finish: () => void) => {
        signal.removeEventListener('abort', onAbort);
        finish();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const mood = name === 'packet' ? 'well' : machine.mood;
      const connectMs = 5 + random() * 200;
      if (mood === 'silent') {
        const late = () => settle(() => reject(new DriverError('unreachable', 'the BMC does not answer')));
        process.clock.after(bmcTimeoutMs, late);
        return;
      }
      process.clock.after(connectMs, () => {
        if (mood === 'refusing') {
          return settle(() => reject(new DriverError('refused', 'the BMC says no')));
        }
        try {
          // The last moment at which a command can be held back.
          signal.throwIfAborted();
        } catch (error) {
          return settle(() => reject(error));
        }
        const answer = work();
        scheduler.after(5 + random() * 100, () => process.deliver(() => settle(() => resolve(answer))));
      });
    });
  /** A deaf BMC takes a command and does nothing. */
  const command = (signal: AbortSignal, what: 'wake' | 'graceful' | 'forced', act: () => void) =>
    exchange(signal, () => {
      onCommand(machine, what);
      const hears = name === 'packet' || machine.mood !== 'deaf';
      if (hears) scheduler.after(1 + random() * 20, act);
    });
  return {
    name,
    capabilities,
    wake: (signal) => command(signal, 'wake', () => machine.wake()),
    sleep: (how, signal) => command(signal, how, () => machine.powerOff(how)),
    readPower: (signal) =>
      exchange(signal, () => {
        if (machine.mood === 'lying') return machine.power === 'on' ? 'off' : 'on';
        return machine.power;
      }),
    meter: (signal) => exchange(signal, () => ({ powerWatts: machine.watts, source: 'sim' })),
    async close() {},
  };
}

/** Probes of the simulated machines, by the host of their URL. */
export function simProbes(
  { scheduler, process, random }: WireOptions,
  machineOf: (name: string) => Machine | undefined,
  /** Is the prober's own network cut off from this machine? */
  isCut: (machine: Machine) => boolean,
): MakeProbe {
  return (url, config) => {
    const machine = machineOf(new URL(url).hostname.split('.')[0] ?? '');
    return (timeoutMs) =>
      new Promise((resolve) => {
        const answer = (delayMs: number, result: Omit<ProbeResult, 'latencyMs'>) =>
          scheduler.after(delayMs, () => process.deliver(() => resolve({ ...result, latencyMs: delayMs })));
        const life = machine && !isCut(machine) ? machine.life : 'off';
        if (life === 'serving') answer(1 + random() * 20, { ok: true, answered: true, detail: 'status 200' });
        else if (life === 'hung') {
          const ok = config.kind === 'tcp';
          answer(ok ? 2 : timeoutMs, { ok, answered: true, detail: ok ? 'connected' : 'no answer in time' });
        } else answer(life === 'off' ? timeoutMs : 3, { ok: false, answered: false, detail: 'nobody there' });
      });
  };
}
