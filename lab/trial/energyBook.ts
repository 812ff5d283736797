import type { Rack } from '../rack/rack.ts';
import type { Chapter, Point, ServerCounts } from './chapter.ts';
import type { Recorded, Recorder } from './recorder.ts';
import { rounded } from './statistics.ts';

type ServerWh = Omit<ServerCounts, 'wakes' | 'sleeps'>;

/** The energy of an arm as its points and chapters have it. */
export interface EnergyBook {
  /** From here on it counts. */
  start(): void;
  /** Mean watts since the last call, which was so long ago on the clock. */
  watts(elapsedMs: number): Pick<Point, 'trueWatts' | 'meteredWatts'>;
  /** Of the chapter that ends now; the next begins. */
  close(ledgers: Recorded['ledgers']): {
    readonly whole: Pick<Chapter, 'trueWh'>;
    of(server: string): ServerWh;
  };
}

/** By the rack's own integral where there is a rack; else by what the meters say, and no more than that. */
export function createEnergyBook(rack: Rack | undefined, recorder: Recorder): EnergyBook {
  return rack ? trueBook(rack) : meteredBook(recorder);
}

function trueBook(rack: Rack): EnergyBook {
  let before = rack.energy();
  let pointBefore = before;
  return {
    start() {
      before = rack.energy();
      pointBefore = before;
    },
    watts(elapsedMs) {
      const energy = rack.energy();
      const joules = (energy.fleetWh - pointBefore.fleetWh) * 3_600_000;
      pointBefore = energy;
      return { trueWatts: rounded(joules / elapsedMs, 1) };
    },
    close() {
      const energy = rack.energy();
      const last = before;
      before = energy;
      const whOf = (ledger: typeof energy, name: string) => ledger.perServer[name]?.energyWh ?? 0;
      return {
        whole: { trueWh: energy.fleetWh - last.fleetWh },
        of: (name) => ({ trueWh: rounded(whOf(energy, name) - whOf(last, name), 6) }),
      };
    },
  };
}

function meteredBook(recorder: Recorder): EnergyBook {
  let before = recorder.meters();
  return {
    start() {
      before = recorder.meters();
    },
    watts() {
      const meters = recorder.meters();
      let watts = 0;
      for (const [name, { energyWh, last }] of meters) {
        const known = before.get(name);
        // From reading to reading: what came after the last one is not known yet.
        const spanMs = known?.last && last ? last.timeMs - known.last.timeMs : 0;
        if (known && spanMs > 0) watts += ((energyWh - known.energyWh) * 3_600_000) / spanMs;
        else watts += last?.powerWatts ?? 0;
      }
      before = meters;
      return { meteredWatts: rounded(watts, 1) };
    },
    close: (ledgers) => ({
      whole: {},
      of(name) {
        const { energyWh = 0, modelledWh = 0 } = ledgers.get(name) ?? {};
        return { meteredWh: rounded(energyWh, 6), modelledWh: rounded(modelledWh, 6) };
      },
    }),
  };
}
