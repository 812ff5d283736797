import type { MeterReading, PowerState } from './driver.ts';
import { believed } from './meterReading.ts';
import { isObject, type JsonObject, linkOf, objectsOf, RedfishError } from './redfishOutcome.ts';

/** Where a system's watts are, and how they are read (DSP0268: EnvironmentMetrics, Power). */

type MeterKind = 'environmentMetrics' | 'power';

interface MeterPlace {
  readonly kind: MeterKind;
  readonly path: string;
}

export interface MeterAccess {
  /** A fresh GET. */
  readonly get: (path: string) => Promise<JsonObject>;
  readonly readSystem: () => Promise<JsonObject>;
  readonly readPower: () => Promise<PowerState>;
  /** Epoch ms. */
  readonly now: () => number;
  /** A system without a meter is searched again after this long. */
  readonly searchIntervalMs: number;
}

const chassisCollection = '/redfish/v1/Chassis';
// A rack manager may hold hundreds; the one that meters a system is linked, or among the first.
const maxChassis = 8;
const nothingThere: readonly number[] = [404, 405, 410, 501];

function watts(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
}

/** Parts of a machine whose power is in the whole's already. */
const partContexts = /^(CPU|Memory|GPU|Fan|StorageDevice|StorageBay|NetworkingDevice|Accelerator|FPGA|ASIC)/i;

/**
 * Watts of a Power resource. PowerControl lists domains: the entries of this system when any names it, without
 * those of parts such as the CPUs, summed. Undefined when none has a figure.
 */
export function wattsOfPower(power: JsonObject, systemPath: string): number | undefined {
  const entries = objectsOf(power.PowerControl).filter(
    (entry) =>
      watts(entry.PowerConsumedWatts) !== undefined &&
      !(typeof entry.PhysicalContext === 'string' && partContexts.test(entry.PhysicalContext)),
  );
  const own = entries.filter((entry) =>
    objectsOf(entry.RelatedItem).some((item) => linkOf(item) === systemPath),
  );
  const counted = own.length > 0 ? own : entries;
  if (counted.length === 0) return undefined;
  return counted.reduce((sum, entry) => sum + (watts(entry.PowerConsumedWatts) ?? 0), 0);
}

/** Watts of an EnvironmentMetrics resource; undefined when it has no reading. */
export function wattsOfEnvironment(metrics: JsonObject): number | undefined {
  return isObject(metrics.PowerWatts) ? watts(metrics.PowerWatts.Reading) : undefined;
}

const pointers: Record<MeterKind, string> = {
  environmentMetrics: '#/PowerWatts/Reading',
  power: '#/PowerControl/PowerConsumedWatts',
};

interface Found {
  readonly place: MeterPlace;
  readonly systemPath: string;
  readonly powerWatts: number;
}

interface Search {
  /** Undefined: nothing reads. */
  found: Found | undefined;
  /** A place without a figure now may have one when the machine is on. */
  sawPlace: boolean;
}

function wattsAt({ kind }: MeterPlace, resource: JsonObject, systemPath: string): number | undefined {
  return kind === 'power' ? wattsOfPower(resource, systemPath) : wattsOfEnvironment(resource);
}

/** Looks through the system, its chassis, and the only chassis there is; a figure above 0 ends it. */
async function searchMeter(access: MeterAccess): Promise<Search> {
  const search: Search = { found: undefined, sawPlace: false };
  const system = await access.readSystem();
  const systemPath = linkOf(system) ?? '';

  async function getIfThere(path: string): Promise<JsonObject | undefined> {
    try {
      return await access.get(path);
    } catch (error) {
      if (error instanceof RedfishError && nothingThere.includes(error.status)) return undefined;
      throw error;
    }
  }

  async function look(resource: JsonObject | undefined): Promise<boolean> {
    for (const place of resource ? placesOf(resource) : []) {
      const there = await getIfThere(place.path);
      if (!there) continue;
      search.sawPlace = true;
      const powerWatts = wattsAt(place, there, systemPath);
      if (powerWatts === undefined) continue;
      if (powerWatts > 0 || !search.found) search.found = { place, systemPath, powerWatts };
      if (powerWatts > 0) return true;
    }
    return false;
  }

  if (await look(system)) return search;
  const linked = isObject(system.Links) ? pathsOf(system.Links.Chassis).slice(0, maxChassis) : [];
  for (const path of linked) if (await look(await getIfThere(path))) return search;
  if (linked.length > 0) return search;
  const all = pathsOf((await getIfThere(chassisCollection))?.Members);
  // Of several chassis nobody knows whose watts they are.
  if (all.length === 1 && all[0] !== undefined) await look(await getIfThere(all[0]));
  return search;
}

/**
 * A meter that remembers where the figure is (never the figure), so that a reading costs one GET. Throws what
 * `get` throws, except that what is not there is no meter.
 */
export function createMeter(access: MeterAccess): () => Promise<MeterReading> {
  let remembered: Omit<Found, 'powerWatts'> | undefined;
  let emptyUntilMs = Number.NEGATIVE_INFINITY;

  async function believe(powerWatts: number | undefined, place: MeterPlace): Promise<MeterReading> {
    const source = place.path + pointers[place.kind];
    const reading = await believed(powerWatts, source, access.readPower);
    // Another place may tell better.
    if (powerWatts === 0 && reading.powerWatts === undefined) remembered = undefined;
    return reading;
  }

  async function readRemembered(): Promise<MeterReading | undefined> {
    if (!remembered) return undefined;
    const { place, systemPath } = remembered;
    try {
      return await believe(wattsAt(place, await access.get(place.path), systemPath), place);
    } catch (error) {
      if (!(error instanceof RedfishError) || error.status !== 404) throw error;
      remembered = undefined;
      return undefined;
    }
  }

  return async () => {
    const reading = await readRemembered();
    if (reading) return reading;
    if (access.now() < emptyUntilMs) return noMeter;
    const { found, sawPlace } = await searchMeter(access);
    if (found) {
      remembered = found;
      return believe(found.powerWatts, found.place);
    }
    if (!sawPlace) emptyUntilMs = access.now() + access.searchIntervalMs;
    return noMeter;
  };
}

const noMeter: MeterReading = { powerWatts: undefined, source: 'the BMC offers no meter' };

function pathsOf(links: unknown): readonly string[] {
  return objectsOf(links).flatMap((link) => linkOf(link) ?? []);
}

function placesOf(resource: JsonObject): readonly MeterPlace[] {
  const environment = linkOf(resource.EnvironmentMetrics);
  const power = linkOf(resource.Power);
  return [
    ...(environment === undefined ? [] : [{ kind: 'environmentMetrics' as const, path: environment }]),
    ...(power === undefined ? [] : [{ kind: 'power' as const, path: power }]),
  ];
}
