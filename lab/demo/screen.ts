import type { Lifecycle } from '../../libs/domain/mod.ts';
import type { DemoView } from './view.ts';

export interface ScreenState {
  readonly view: DemoView;
  readonly nowMs: number;
  readonly elapsedSeconds: number;
  readonly totalSeconds: number;
  readonly address: string;
  readonly console: string;
  readonly energy: { readonly fleetWh: number; readonly alwaysOnWh: number };
  readonly failed: number;
  readonly requests: number;
  readonly width: number;
  readonly colour: boolean;
}

const colours: Readonly<Record<Lifecycle, number>> = {
  ready: 32,
  waking: 33,
  draining: 36,
  stopping: 34,
  asleep: 90,
  failed: 31,
  quarantined: 31,
};
const blocks = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const barCells = 10;
const nameColumns = 12;
const lifecycleColumns = 11;

/** The living rack as lines of text: one a server, totals, load against capacity, the last decisions. Pure. */
export function screenLines(state: ScreenState): string[] {
  const { view } = state;
  const lines = [totals(state)];
  const width = Math.max(20, state.width - 12);
  const top = Math.max(1, ...view.points.map(({ rps, capacityRps }) => Math.max(rps, capacityRps)));
  lines.push(
    `capacity  ${spark(
      view.points.map((point) => point.capacityRps),
      top,
      width,
    )}`,
  );
  lines.push(
    `load      ${spark(
      view.points.map((point) => point.rps),
      top,
      width,
    )}`,
    '',
  );
  for (const { timeMs, reason } of [...view.decisions].reverse()) {
    const ago = Math.max(0, Math.round((state.nowMs - timeMs) / 1_000));
    lines.push(`${String(ago).padStart(4)} s ago  ${reason}`);
  }
  const shorten = (line: string) => line.slice(0, state.width);
  return [
    shorten(heading(state)),
    shorten(`console ${state.console}`),
    '',
    ...serverLines(state),
    '',
    ...lines.map(shorten),
  ];
}

function heading({ elapsedSeconds, totalSeconds, address, view }: ScreenState): string {
  const minutes = Math.floor((elapsedSeconds / totalSeconds) * 1_440);
  const clock = `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
  const servers = Object.values(view.fleet.servers);
  const ready = servers.filter(({ lifecycle }) => lifecycle === 'ready').length;
  return `Nemuri 眠り   ${clock} of the day   ${ready} of ${servers.length} servers ready   ${address}`;
}

function serverLines({ view, colour, width }: ScreenState): string[] {
  const load = view.latestLoad;
  return Object.values(view.fleet.servers).map((server) => {
    const config = view.fleet.config?.servers[server.name];
    const sample = load?.servers[server.name];
    const rps = load && sample ? (sample.completed * 1_000) / load.intervalMs : 0;
    const filled = Math.min(barCells, Math.round((rps / (config?.capacityRps ?? 1)) * barCells));
    const watts = view.wattsOf(server.name);
    const line = [
      server.name.padEnd(nameColumns),
      server.lifecycle.padEnd(lifecycleColumns),
      `${watts === undefined ? '   ?' : watts.toFixed(0).padStart(4)} W`,
      `${rps.toFixed(0).padStart(4)} requests/s`,
      `${String(sample?.inFlight ?? 0).padStart(3)} in flight`,
      `${'█'.repeat(filled)}${'·'.repeat(barCells - filled)}`,
    ]
      .join('  ')
      .slice(0, width);
    const from = nameColumns + 2;
    const to = from + lifecycleColumns;
    const paint = `\x1b[${colours[server.lifecycle]}m`;
    return colour ? `${line.slice(0, from)}${paint}${line.slice(from, to)}\x1b[0m${line.slice(to)}` : line;
  });
}

function totals({ view, energy, requests, failed }: ScreenState): string {
  const watts = Object.keys(view.fleet.servers).reduce((sum, name) => sum + (view.wattsOf(name) ?? 0), 0);
  const saved = energy.alwaysOnWh > 0 ? (1 - energy.fleetWh / energy.alwaysOnWh) * 100 : 0;
  const parked = view.latestLoad?.parked ?? 0;
  return (
    `total ${watts.toFixed(0)} W   saved ${saved.toFixed(1)} % of ${energy.alwaysOnWh.toFixed(2)} Wh   ` +
    `${requests} requests, ${failed} failed, ${parked} parked now`
  );
}

/** Values as a row of blocks, the whole series squeezed into `width` cells. */
export function spark(values: readonly number[], top: number, width: number): string {
  if (values.length === 0) return '';
  const cells = Math.min(width, values.length);
  return Array.from({ length: cells }, (_, cell) => {
    const from = Math.floor((cell * values.length) / cells);
    const to = Math.max(from + 1, Math.floor(((cell + 1) * values.length) / cells));
    const part = values.slice(from, to);
    const mean = part.reduce((sum, value) => sum + value, 0) / part.length;
    return blocks[Math.min(8, Math.max(0, Math.round((mean / top) * 8)))] ?? ' ';
  }).join('');
}
