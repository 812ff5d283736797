/** How often each accident happens beside the others. */
const weights = {
  serviceKill: 4,
  serviceStop: 4,
  serviceCut: 3,
  rollingRestart: 2,
  proxyKill: 2,
  proxyStop: 2,
  proxyCut: 1,
  proxyReload: 2,
  natsKill: 2,
  natsStop: 2,
  bmc: 3,
  lostWake: 3,
  crash: 2,
  powerCut: 2,
  cordon: 1,
  sleepOrder: 6,
} as const;

export type AccidentKind = keyof typeof weights;
export const accidentKinds = Object.keys(weights) as AccidentKind[];

/** An accident to come. `draw` in [0, 1) chooses its target, `way` how it goes. */
export interface PlannedAccident {
  readonly atMs: number;
  readonly kind: AccidentKind;
  readonly draw: number;
  readonly way: number;
  /** How long what is stopped, cut or faulty stays so. */
  readonly holdMs: number;
}

const leastGapMs = 1_500;
const meanGapMs = 4_000;
const leastHoldMs = 1_500;
const mostHoldMs = 9_000;

/** Accidents over so long, in order. Pure: the same draws give the same plan. */
export function planAccidents(durationMs: number, random: () => number): readonly PlannedAccident[] {
  const plan: PlannedAccident[] = [];
  const total = accidentKinds.reduce((sum, kind) => sum + weights[kind], 0);
  let atMs = leastGapMs;
  while (atMs < durationMs) {
    let left = random() * total;
    const kind = accidentKinds.find((one) => {
      left -= weights[one];
      return left < 0;
    });
    const holdMs = Math.round(leastHoldMs + (mostHoldMs - leastHoldMs) * random());
    plan.push({ atMs: Math.round(atMs), kind: kind ?? 'serviceKill', draw: random(), way: random(), holdMs });
    atMs += leastGapMs - Math.log(1 - random()) * (meanGapMs - leastGapMs);
  }
  return plan;
}
