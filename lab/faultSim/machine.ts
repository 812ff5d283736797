import type { PowerState } from '../../libs/domain/mod.ts';
import type { Scheduler } from './scheduler.ts';

/** What runs on a machine that is on: nothing yet, its service, or something that takes connections and says nothing. */
export type Life = 'off' | 'booting' | 'serving' | 'hung' | 'dead' | 'shuttingDown';

/** How its BMC treats us now. */
export type BmcMood = 'well' | 'silent' | 'refusing' | 'deaf' | 'lying';

/** A request on a machine. */
export interface OnMachine {
  readonly proxy: string;
  /** The machine is gone under it, or its service. */
  readonly onBroken: () => void;
}

/** Who is told what a machine does: the checker and whoever runs on it. */
export interface MachineEvents {
  readonly onUp: (machine: Machine) => void;
  /** Its operating system is gone, for whatever reason. */
  readonly onDown: (machine: Machine) => void;
  /** A command of ours takes its power away, or tells it to stop: what is in flight is about to be cut. */
  readonly onPowerOff: (machine: Machine, how: 'graceful' | 'forced' | 'agent') => void;
  readonly onPowerOn: (machine: Machine) => void;
}

/** One simulated server: hardware, operating system and service. Every fault is a field that the fault plan sets. */
export interface Machine {
  readonly name: string;
  readonly life: Life;
  /** Epoch ms of the last change of `life`. */
  readonly sinceMs: number;
  readonly boots: number;
  readonly inFlight: Set<OnMachine>;
  mood: BmcMood;
  /** Share of wake commands that are lost on their way. */
  lostWakeShare: number;
  bootMs: number;
  /** It takes the order to shut down, and does not. */
  ignoresShutdown: boolean;
  wake(): void;
  /** The command to stop has arrived at the hardware, or at the operating system. */
  powerOff(how: 'graceful' | 'forced' | 'agent'): void;
  /** A fault: its power fails, its kernel dies, its service hangs, it boots again. */
  fail(how: 'powerLoss' | 'panic' | 'hang' | 'reboot'): void;
  /** Somebody presses the button. */
  pressButton(): void;
  /** What the hardware is, whatever its BMC says. */
  readonly power: PowerState;
  readonly watts: number;
}

const shutdownMs = 3_000;
const bootIdleWatts = 120;

export function createMachine(
  name: string,
  scheduler: Scheduler,
  random: () => number,
  events: MachineEvents,
  firstLife: 'off' | 'serving',
): Machine {
  let life: Life = firstLife;
  let sinceMs = scheduler.nowMs();
  let boots = 1;
  let cancel = () => {};
  const inFlight = new Set<OnMachine>();

  const enter = (next: Life) => {
    if (life === next) return;
    const wasUp = life === 'serving' || life === 'hung';
    life = next;
    sinceMs = scheduler.nowMs();
    cancel();
    cancel = () => {};
    const broken = next === 'serving' || next === 'hung' ? [] : [...inFlight];
    for (const request of broken) request.onBroken();
    if (next === 'serving') events.onUp(machine);
    else if (wasUp && next !== 'hung') events.onDown(machine);
  };
  const boot = () => {
    boots += 1;
    enter('off');
    enter('booting');
    cancel = scheduler.after(machine.bootMs * (0.8 + 0.4 * random()), () => enter('serving'));
  };
  const machine: Machine = {
    name,
    get life() {
      return life;
    },
    get sinceMs() {
      return sinceMs;
    },
    get boots() {
      return boots;
    },
    inFlight,
    mood: 'well',
    lostWakeShare: 0,
    bootMs: 6_000,
    ignoresShutdown: false,
    wake() {
      if (life !== 'off' || random() < machine.lostWakeShare) return;
      boot();
      events.onPowerOn(machine);
    },
    powerOff(how) {
      if (life === 'off' || (how !== 'forced' && life === 'shuttingDown')) return;
      // A kernel that is dead or not up yet hears no request to shut down.
      if (how !== 'forced' && (machine.ignoresShutdown || life === 'dead' || life === 'booting')) return;
      events.onPowerOff(machine, how);
      if (how === 'forced') return enter('off');
      enter('shuttingDown');
      cancel = scheduler.after(shutdownMs, () => enter('off'));
    },
    fail(how) {
      if (life === 'off') return;
      if (how === 'powerLoss') enter('off');
      else if (how === 'panic') enter('dead');
      else if (how === 'reboot') boot();
      else if (life === 'serving') enter('hung');
    },
    pressButton() {
      if (life === 'off' || life === 'dead' || life === 'hung') boot();
    },
    get power() {
      return life === 'off' ? 'off' : 'on';
    },
    get watts() {
      if (life === 'off') return 5;
      return life === 'booting' ? bootIdleWatts : 90 + Math.min(60, 20 * inFlight.size);
    },
  };
  return machine;
}
