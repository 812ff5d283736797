import { Value } from '@sinclair/typebox/value';
import { catalog, type EventType } from './catalog.ts';

/** Turns the data of version `from` of an event into that of version `from + 1`. */
export type Upcaster = (data: unknown) => unknown;
export type Upcasters = Partial<Record<EventType, Readonly<Record<number, Upcaster>>>>;

/**
 * One upcaster for each old version of each event. Old events are never rewritten in the stream; they are
 * lifted version by version as they are read. Empty while every event is at version 1.
 */
export const upcasters: Upcasters = {};

/**
 * Fills in what an event of the same version did not say yet when it was written: the settings that a configuration
 * has gained since, by their defaults. Without it a new Nemuri could not read what the old one was configured with.
 */
export function complete(type: EventType, data: unknown): unknown {
  return type === 'FleetConfigured' ? Value.Default(catalog.FleetConfigured.schema, data) : data;
}

/**
 * Lifts `data` from version `from` to version `to`.
 * @throws Error when a step is missing: an event of a future version, or one whose upcaster was forgotten.
 */
export function upcast(
  type: EventType,
  data: unknown,
  from: number,
  to: number,
  steps: Upcasters = upcasters,
): unknown {
  if (from > to) throw new Error(`${type} has version ${from}; this reader knows up to ${to}`);
  let lifted = data;
  for (let version = from; version < to; version += 1) {
    const step = steps[type]?.[version];
    if (!step) throw new Error(`${type} has no upcaster from version ${version}`);
    lifted = step(lifted);
  }
  return lifted;
}
