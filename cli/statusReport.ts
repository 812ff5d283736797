import {
  type Cordon,
  type Fleet,
  failedItsDrill,
  floorOf,
  type HeldBack,
  heldBack,
  nobodySeen,
  orderNow,
  type ServerView,
  serversOfPool,
} from '../libs/domain/mod.ts';

export interface ServerReport {
  readonly name: string;
  readonly lifecycle: string;
  readonly sinceMs: number;
  readonly powerState: string;
  readonly health: string;
  readonly cordoned: boolean;
  /** While it is: by whom and why, and until when where it ends by itself. */
  readonly cordon?: Cordon;
  /** No method reads its power: it is inferred from probes. */
  readonly powerInferred?: boolean;
  /** The operator's order that holds. */
  readonly order?: {
    readonly wants: string;
    readonly untilMs: number;
    readonly by: string;
    readonly reason: string;
  };
  /** Failed its last fire drill and has not served since: no capacity. */
  readonly failedItsDrill?: boolean;
  /** The last measured setup times in ms, newest last. */
  readonly setupTimesMs: readonly number[];
}

export interface PoolReport {
  readonly name: string;
  readonly floor: number;
  readonly pinnedServers?: number;
  readonly paused: boolean;
  readonly capacityRps: number;
  /** Sustained by the servers that are ready, in requests/s. */
  readonly readyCapacityRps: number;
  readonly decision?: {
    readonly decidedAtMs: number;
    readonly reason: string;
    readonly target: readonly string[];
    /** Older than its lease: it lets no server sleep. */
    readonly stale: boolean;
  };
  readonly servers: readonly ServerReport[];
  /** What is wanted and waits, by the bound that holds it back. */
  readonly heldBack: readonly HeldBack[];
  readonly drills: { readonly passed: number; readonly failed: number };
}

/** The fleet as `nemuri status` shows it. Times are epoch milliseconds. */
export interface StatusReport {
  /** Up to which event of the history. */
  readonly sequence: number;
  readonly configured: boolean;
  readonly configuredAtMs?: number;
  readonly pools: readonly PoolReport[];
}

/** The fleet's state as a report, pools and servers by name. Pure. */
export function statusReport(fleet: Fleet, nowMs: number): StatusReport {
  if (!fleet.config) return { sequence: fleet.sequence, configured: false, pools: [] };
  const names = Object.keys(fleet.config.pools).toSorted();
  const held = heldBack({ fleet, liveness: nobodySeen, nowMs });
  return {
    sequence: fleet.sequence,
    configured: true,
    configuredAtMs: fleet.configuredAtMs,
    pools: names.map((name) => poolReport(fleet, name, held, nowMs)),
  };
}

function poolReport(fleet: Fleet, name: string, held: readonly HeldBack[], nowMs: number): PoolReport {
  const views = serversOfPool(fleet, name);
  const { paused = false, pinnedServers, decision } = fleet.pools[name] ?? {};
  const capacityOf = (some: readonly ServerView[]) =>
    some.reduce((sum, view) => sum + view.config.capacityRps, 0);
  return {
    name,
    floor: floorOf(fleet, name),
    ...(pinnedServers === undefined ? {} : { pinnedServers }),
    paused,
    capacityRps: capacityOf(views),
    readyCapacityRps: capacityOf(views.filter(({ state }) => state.lifecycle === 'ready')),
    ...(decision === undefined
      ? {}
      : {
          decision: {
            decidedAtMs: decision.decidedAtMs,
            reason: decision.reason,
            target: decision.target,
            stale: nowMs > decision.decidedAtMs + decision.validForMs,
          },
        }),
    servers: views.map((view) => serverReport(view, nowMs)),
    heldBack: held.filter(({ pool }) => pool === name),
    drills: {
      passed: views.reduce((sum, { state }) => sum + (state.drills?.passed ?? 0), 0),
      failed: views.reduce((sum, { state }) => sum + (state.drills?.failed ?? 0), 0),
    },
  };
}

function serverReport({ state }: ServerView, nowMs: number): ServerReport {
  const order = orderNow(state, nowMs);
  return {
    name: state.name,
    lifecycle: state.lifecycle,
    sinceMs: state.sinceMs,
    powerState: state.powerState,
    health: state.health,
    cordoned: state.cordoned,
    ...(state.cordon ? { cordon: state.cordon } : {}),
    ...(state.powerInferred ? { powerInferred: true } : {}),
    ...(order ? { order } : {}),
    ...(failedItsDrill(state) ? { failedItsDrill: true } : {}),
    setupTimesMs: state.setupTimesMs,
  };
}

/** The report as lines for a terminal: for each pool what holds, the last decision's sentence, and its servers. */
export function statusLines(report: StatusReport, nowMs: number): string[] {
  if (!report.configured) return ['The history has no configuration yet: nemuri configure -c FILE'];
  return report.pools.flatMap((pool, index) => [...(index === 0 ? [] : ['']), ...poolLines(pool, nowMs)]);
}

/** A pool in one line: how many servers are in which lifecycle, the floor, and what it can serve. */
export function compactLine(pool: PoolReport): string {
  const counts = new Map<string, number>();
  for (const { lifecycle } of pool.servers) counts.set(lifecycle, (counts.get(lifecycle) ?? 0) + 1);
  const states = [...counts].map(([lifecycle, count]) => `${count} ${lifecycle}`).join(', ');
  const pinned = pool.pinnedServers === undefined ? '' : ` (pinned to ${pool.pinnedServers})`;
  const capacity = `${Math.round(pool.readyCapacityRps)} of ${Math.round(pool.capacityRps)} requests/s ready`;
  const paused = pool.paused ? '; planner paused' : '';
  return `pool ${pool.name}: ${states || 'no servers'}; floor ${pool.floor}${pinned}; ${capacity}${paused}`;
}

function poolLines(pool: PoolReport, nowMs: number): string[] {
  const { decision } = pool;
  const stale = decision?.stale ? ' (older than its lease: no server may sleep)' : '';
  return [
    compactLine(pool),
    decision
      ? `  decided ${ago(decision.decidedAtMs, nowMs)} ago: ${decision.reason}${stale}`
      : '  nothing decided yet: all its servers stay awake',
    ...table([
      ['SERVER', 'LIFECYCLE', 'SINCE', 'POWER', 'HEALTH', 'CORDON'],
      ...pool.servers.map((server) => [
        server.name,
        server.lifecycle,
        ago(server.sinceMs, nowMs),
        server.powerInferred ? `${server.powerState} (inferred)` : server.powerState,
        server.health,
        cordonCell(server, nowMs),
      ]),
    ]),
    ...notes(pool, nowMs),
  ];
}

function cordonCell({ cordoned, cordon }: ServerReport, nowMs: number): string {
  if (!cordoned) return '-';
  return cordon?.untilMs === undefined ? 'cordoned' : `cordoned, ${ago(nowMs, cordon.untilMs)} more`;
}

/** Who cordoned a server, why, and until when. */
export function cordonLine(server: string, { untilMs, reason, by }: Cordon, nowMs: number): string {
  const end =
    untilMs === undefined
      ? 'until it is uncordoned'
      : `until ${new Date(untilMs).toISOString()} (${ago(nowMs, untilMs)} more)`;
  return `${server}: ${by} cordoned it ${end}: ${reason}`;
}

/** What else an operator should know of the pool; nothing, most of the time. */
function notes({ servers, heldBack: held, drills }: PoolReport, nowMs: number): string[] {
  const total = drills.passed + drills.failed;
  return [
    ...servers.flatMap(({ name, cordon }) => (cordon ? [`  ${cordonLine(name, cordon, nowMs)}`] : [])),
    ...servers.flatMap(({ name, order }) => {
      if (!order) return [];
      const left = ago(nowMs, order.untilMs);
      return [`  ${name}: ${order.by} ordered it ${order.wants} for ${left} more: ${order.reason}`];
    }),
    ...servers.flatMap(({ name, failedItsDrill: failed }) =>
      failed ? [`  ${name}: failed its last fire drill, not counted as capacity`] : [],
    ),
    ...held.map(({ server, bound, reason }) => `  ${server}: held back by ${bound}: ${reason}`),
    ...(total > 0
      ? [
          `  fire drills: ${drills.passed} of ${total} passed (${Math.round((drills.passed / total) * 100)} %)`,
        ]
      : []),
  ];
}

/** Columns aligned by spaces, indented by two. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return rows.map((row) => {
    const cells = row.map((cell, column) => cell.padEnd(widths[column] ?? 0));
    return `  ${cells.join('  ').trimEnd()}`;
  });
}

/** `42 s`, `5 min`, `3 h`, `9 d`; a time in the future counts as now. */
export function ago(thenMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - thenMs) / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
