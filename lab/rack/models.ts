/**
 * Machines the rack can be built of. A curve is watts at active idle and at 10, 20 … 100 % load, from published
 * SPECpower_ssj2008 results (specpower.csv, see README.md); it gives the shape, idle and busy watts give the scale.
 */
export interface MachineModel {
  readonly manufacturer: string;
  readonly model: string;
  /** The row of specpower.csv whose shape is used. */
  readonly curveOf: string;
  readonly curveWatts: readonly number[];
  readonly offWatts: number;
  readonly idleWatts: number;
  readonly busyWatts: number;
  /** While it boots. Measured as that of full load on the AutoScale testbed, so taken for the others too. */
  readonly setupWatts: number;
}

/** What a BMC draws while its machine is off; the nearest measured figures are 9 W and 10 W. */
const standbyWatts = 10;

const r610Watts = [60, 86, 98, 107, 114, 122, 131, 139, 149, 161, 172];
const dl380Watts = [143, 199, 228, 256, 282, 313, 350, 400, 458, 577, 647];
const sr655Watts = [52.5, 98.5, 109, 120, 130, 140, 150, 161, 172, 196, 228];
const rx1330Watts = [13.1, 17.5, 20.5, 23, 25.4, 28.2, 31.9, 37.3, 44.5, 51.5, 56.1];

export const machineModels = {
  /** Two quad-core Xeons of 2009 with the watts of the AutoScale testbed (ACM TOCS 30(4) 14, 2012). */
  'xeon-2009': {
    manufacturer: 'Nemuri lab',
    model: 'Two quad-core Xeons, 2009',
    curveOf: 'Dell Inc. PowerEdge R610 (Intel Xeon L5530 2.40 GHz)',
    curveWatts: r610Watts,
    offWatts: standbyWatts,
    idleWatts: 140,
    busyWatts: 200,
    setupWatts: 200,
  },
  'dl380-2021': {
    manufacturer: 'Nemuri lab',
    model: 'ProLiant DL380 Gen10 Plus, 2021',
    curveOf: 'Hewlett Packard Enterprise ProLiant DL380 Gen10 Plus',
    curveWatts: dl380Watts,
    offWatts: standbyWatts,
    idleWatts: 143,
    busyWatts: 647,
    setupWatts: 647,
  },
  'sr655-2021': {
    manufacturer: 'Nemuri lab',
    model: 'ThinkSystem SR655, 2021',
    curveOf: 'Lenovo Global Technology ThinkSystem SR655',
    curveWatts: sr655Watts,
    offWatts: standbyWatts,
    idleWatts: 52.5,
    busyWatts: 228,
    setupWatts: 228,
  },
  'rx1330-2017': {
    manufacturer: 'Nemuri lab',
    model: 'PRIMERGY RX1330 M3, 2017',
    curveOf: 'FUJITSU Server PRIMERGY RX1330 M3',
    curveWatts: rx1330Watts,
    offWatts: standbyWatts,
    idleWatts: 13.1,
    busyWatts: 56.1,
    setupWatts: 56.1,
  },
} as const satisfies Record<string, MachineModel>;

export type ModelName = keyof typeof machineModels;
export const defaultModel: ModelName = 'xeon-2009';

/** Watts at a utilization of 0..1 (cut to it): the curve's shape, linear between its points, from idle to busy watts. */
export function curveWatts(model: MachineModel, utilization: number): number {
  const points = model.curveWatts;
  const lowest = points[0] ?? 0;
  const highest = points.at(-1) ?? 0;
  const place = Math.min(1, Math.max(0, utilization)) * (points.length - 1);
  const left = Math.floor(place);
  const leftWatts = points[left] ?? highest;
  const rightWatts = points[left + 1] ?? highest;
  const shape = (leftWatts + (rightWatts - leftWatts) * (place - left) - lowest) / (highest - lowest);
  return model.idleWatts + (model.busyWatts - model.idleWatts) * shape;
}
