import type { PolicyDefinition } from './policy.ts';

/** Knows the peak and stays provisioned for it. */
export const alwaysOn: PolicyDefinition = {
  name: 'alwaysOn',
  source: 'Gandhi et al., AutoScale, ACM TOCS 30(4), 2012, section 3.1 (AlwaysOn)',
  /** `peakRps` 0: the highest rate of the series, which the runner fills in; without it, the whole fleet. */
  defaults: { peakRps: 0 },
  grid: {},
  create: (facts, { peakRps = 0 }) => {
    const servers = peakRps > 0 ? Math.ceil(peakRps / facts.capacityRps) : facts.servers;
    return { decide: () => servers };
  },
};
