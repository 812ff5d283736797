import { draftOf } from '../../../libs/domain/testing/builders.ts';
import type { Stage } from './stage.ts';

const intervalMs = 10_000;
const steps = 120;

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
