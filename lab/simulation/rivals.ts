import { alwaysOn } from './policies/alwaysOn.ts';
import { autoscale } from './policies/autoscale.ts';
import { kpa } from './policies/kpa.ts';
import { lcp } from './policies/lcp.ts';
import { peakHold } from './policies/peakHold.ts';
import type { PolicyDefinition } from './policies/policy.ts';
import { reactive } from './policies/reactive.ts';

/** Every policy that Nemuri is compared with, by name. */
export const rivals: Readonly<Record<string, PolicyDefinition>> = Object.fromEntries(
  [alwaysOn, reactive, autoscale, lcp, kpa, peakHold].map((definition) => [definition.name, definition]),
);
