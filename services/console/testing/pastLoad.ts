import { hourMs } from '../../../libs/domain/mod.ts';
import { draftOf } from '../../../libs/domain/testing/builders.ts';
import type { Stage } from './stage.ts';

const intervalMs = 10_000;
const steps = 120;

/** The ledger of the pool `web` for the last `days`: a load that comes and goes by the day, and half of it asleep. */
export async function recordHours({ bus }: Stage, days: number): Promise<void> {
  const endMs = Math.floor(Date.now() / hourMs) * hourMs;
  for (let hour = days * 24; hour > 0; hour -= 1) {
    const fromMs = endMs - hour * hourMs;
    const rps = 80 + 60 * Math.sin(((fromMs / hourMs) % 24) * (Math.PI / 12));
    const energy = { energyWh: 150 + rps, modelledWh: 0, gapMs: 0, coveredMs: hourMs };
    await bus.publish(
      draftOf('EnergyAccounted', {
        fromMs,
        toMs: fromMs + hourMs,
        servers: { s1: energy },
        requests: Math.round(rps * 3_600),
        alwaysOnWh: 400 + rps,
      }),
    );
  }
}

/** The last twenty minutes of the pool `web`: a load in waves of two minutes, between 10 and 130 requests/s. */
export async function recordLoad({ nats }: Stage): Promise<void> {
  let nowMs = Date.now() - steps * intervalMs;
  const past = await nats.open({ now: () => nowMs });
  for (let step = 0; step < steps; step += 1) {
    nowMs += intervalMs;
    const arrivals = Math.round((intervalMs / 1_000) * (70 + 60 * Math.sin(step / 10)));
    await past.publish(draftOf('LoadSampled', { intervalMs, arrivals, completed: arrivals }));
  }
  await past.close();
}
