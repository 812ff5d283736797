import type { MeterReading, PowerState } from './driver.ts';

/**
 * What is believed of a meter's figure: 0 W is true of a machine that is off. While it is on, or where nobody can
 * say whether it is, the figure is unknown.
 */
export async function believed(
  powerWatts: number | undefined,
  source: string,
  readPower: (() => Promise<PowerState>) | undefined,
): Promise<MeterReading> {
  if (powerWatts !== 0) return { powerWatts, source };
  const state = readPower ? await readPower() : 'unknown';
  return { powerWatts: state === 'off' ? 0 : undefined, source };
}

/** Watts in a text; undefined for what is no figure of watts. */
export function wattsOf(value: unknown): number | undefined {
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.trim() : '';
  return /^\d{1,9}(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

/** What an outlet and the watts it gives say of the machine behind it. */
export function powerOfOutlet(
  outlet: 'on' | 'off',
  powerWatts: number | undefined,
  onAboveWatts: number | undefined,
): PowerState {
  if (outlet === 'off') return 'off';
  if (onAboveWatts === undefined) return 'on';
  if (powerWatts === undefined) return 'unknown';
  return powerWatts >= onAboveWatts ? 'on' : 'off';
}
