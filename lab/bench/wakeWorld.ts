import { seededRandom } from '../rack/random.ts';

/** What may go wrong with one wake, and stays so until the machine has been off. */
export type WakeFault = 'refuses' | 'ignores' | 'hangs';

/** A simulated machine with two ways to wake it. Times are simulated epoch ms. */
interface Machine {
  power: 'on' | 'off';
  /** What the first rung meets until the machine is off again: `hangs` strikes on any rung. */
  fault: WakeFault | undefined;
  onAtMs: number | undefined;
  readyAtMs: number | undefined;
  readonly usualSetupMs: number;
}

export interface WakeWorld {
  /** A wake begins: draws its luck. */
  beginWake(server: string): void;
  /** @returns false when the hardware refuses the command. */
  wake(server: string, rung: number, nowMs: number): boolean;
  sleep(server: string, forced: boolean): void;
  isOn(server: string, nowMs: number): boolean;
  serves(server: string, nowMs: number): boolean;
  readonly faults: Readonly<Record<WakeFault, number>>;
}

export interface WorldOptions {
  readonly servers: readonly string[];
  readonly seed: number;
  /** Share of wakes that fail, 0..1. */
  readonly failureShare: number;
  /** Of those that fail, the share that comes on and never serves; the others are refused or ignored, half and half. */
  readonly hangShare: number;
  readonly setupTimeMs: number;
}

/**
 * Machines of one kind, each within 10 % of the usual set-up time and each boot within about 15 % of its machine's own;
 * hardware says on after 2 to 6 s.
 */
export function createWakeWorld(options: WorldOptions): WakeWorld {
  const random = seededRandom(options.seed);
  const between = (low: number, high: number) => low + (high - low) * random();
  const machines = new Map<string, Machine>(
    options.servers.map((server) => [
      server,
      {
        power: 'off',
        fault: undefined,
        onAtMs: undefined,
        readyAtMs: undefined,
        usualSetupMs: options.setupTimeMs * between(0.9, 1.1),
      },
    ]),
  );
  const machine = (server: string): Machine => {
    const found = machines.get(server);
    if (!found) throw new Error(`no machine ${server}`);
    return found;
  };
  const faults: Record<WakeFault, number> = { refuses: 0, ignores: 0, hangs: 0 };

  return {
    faults,
    beginWake(server) {
      const own = machine(server);
      own.fault = undefined;
      if (random() >= options.failureShare) return;
      own.fault = random() < options.hangShare ? 'hangs' : random() < 0.5 ? 'refuses' : 'ignores';
      faults[own.fault] += 1;
    },
    wake(server, rung, nowMs) {
      const own = machine(server);
      if (own.power === 'on') return true;
      if (rung === 0 && own.fault === 'refuses') return false;
      if (rung === 0 && own.fault === 'ignores') return true;
      own.power = 'on';
      own.onAtMs = nowMs + between(2_000, 6_000);
      // The sum of three draws is nearly normal.
      const luck = between(0.95, 1.05) * between(0.95, 1.05) * between(0.95, 1.05);
      own.readyAtMs = own.fault === 'hangs' ? Number.POSITIVE_INFINITY : nowMs + own.usualSetupMs * luck;
      return true;
    },
    sleep(server, forced) {
      const own = machine(server);
      // A hung system does not hear a graceful shutdown.
      if (own.fault === 'hangs' && !forced) return;
      own.power = 'off';
      own.onAtMs = undefined;
      own.readyAtMs = undefined;
    },
    isOn: (server, nowMs) => nowMs >= (machine(server).onAtMs ?? Number.POSITIVE_INFINITY),
    serves: (server, nowMs) => nowMs >= (machine(server).readyAtMs ?? Number.POSITIVE_INFINITY),
  };
}
