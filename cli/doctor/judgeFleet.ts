import {
  type Fleet,
  failedItsDrill,
  openContradictions,
  type ServerView,
  serversOfPool,
} from '../../libs/domain/mod.ts';
import { capabilitiesOf } from '../../libs/events/mod.ts';
import { ago } from '../statusReport.ts';
import { type Finding, failure, ok, warning } from './finding.ts';

/** A cordon whose time is over for longer than this has nobody who ends it. */
const cordonLateMs = 60_000;

/** What the history says is wrong: decisions, servers, wakes that nobody has seen work. Pure. */
export function fleetFindings(fleet: Fleet, nowMs: number): Finding[] {
  if (!fleet.config) {
    const mend = 'nemuri configure -c FILE, or nemuri up -c FILE';
    return [failure('config', 'the history', 'it has no configuration yet', mend)];
  }
  const pools = Object.keys(fleet.config.pools).toSorted();
  return pools.flatMap((pool) => {
    const views = serversOfPool(fleet, pool);
    return [
      ...plannerFindings(fleet, pool, views.length, nowMs),
      ...views.flatMap((view) => serverFindings(view, nowMs)),
    ];
  });
}

function plannerFindings(fleet: Fleet, pool: string, servers: number, nowMs: number): Finding[] {
  const { decision, paused, pinnedServers } = fleet.pools[pool] ?? {};
  const { minServers = 0, spareServers = 0 } = fleet.config?.pools[pool] ?? {};
  const about = `pool ${pool}`;
  const findings: Finding[] = [];
  const silent =
    'see the planner’s log, and /readyz of its admin address (8082): without decisions nothing sleeps';
  if (!decision) findings.push(failure('planner', about, 'nothing is decided yet', silent));
  else if (nowMs > decision.decidedAtMs + decision.validForMs) {
    const found = `the last decision is ${ago(decision.decidedAtMs, nowMs)} old, older than its lease`;
    findings.push(failure('planner', about, found, silent));
  } else findings.push(ok('planner', about, `decided ${ago(decision.decidedAtMs, nowMs)} ago`));
  if (paused)
    findings.push(warning('planner', about, 'the planner is paused: nothing sleeps', 'nemuri resume'));
  if (pinnedServers !== undefined)
    findings.push(warning('planner', about, `pinned to ${pinnedServers} servers`, 'nemuri unpin'));
  if (servers > 0 && minServers + spareServers >= servers) {
    const found = 'minServers and spareServers together are all its servers: nothing can ever sleep';
    findings.push(warning('planner', about, found, 'lower minServers or spareServers, or add a server'));
  }
  return findings;
}

function serverFindings(view: ServerView, nowMs: number): Finding[] {
  const { state } = view;
  const { name } = state;
  const findings = [...troubles(view, nowMs), ...wakeFindings(view)];
  return findings.length > 0 ? findings : [ok('servers', name, 'nothing is wrong with it')];
}

function troubles({ state, config }: ServerView, nowMs: number): Finding[] {
  const { name, lifecycle, powerState, health } = state;
  const findings: Finding[] = [];
  if (lifecycle === 'quarantined' || lifecycle === 'failed') {
    const until = state.quarantinedUntilMs;
    const left = until === undefined ? '' : ` for ${ago(nowMs, until)} more`;
    findings.push(
      failure(
        'servers',
        name,
        `its wake failed: it is ${lifecycle}${left}`,
        'nemuri power test -c FILE --server NAME',
      ),
    );
  }
  if (lifecycle === 'ready' && health === 'unhealthy')
    findings.push(
      failure(
        'servers',
        name,
        'it is awake and unhealthy',
        'nemuri events --since 1h --filter nemuri.state.NAME.>',
      ),
    );
  if (powerState === 'unknown' && !state.powerInferred && config.power.length > 0)
    findings.push(
      warning('servers', name, 'its power state is unknown', 'nemuri power test -c FILE --server NAME'),
    );
  const open = openContradictions(state);
  if (open.length > 0)
    findings.push(
      failure(
        'servers',
        name,
        `its witnesses disagree: ${open.join(', ')}`,
        'docs/truth-table.md says what each of them means',
      ),
    );
  if (state.cordoned) findings.push(cordonFinding(state, nowMs));
  return findings;
}

function cordonFinding({ name, cordon }: ServerView['state'], nowMs: number): Finding {
  const untilMs = cordon?.untilMs;
  if (untilMs !== undefined && nowMs - untilMs > cordonLateMs) {
    const found = `its cordon was to end ${ago(untilMs, nowMs)} ago, and it still gets no requests`;
    return failure('servers', name, found, 'the power service ends it: does it run, with the bus?');
  }
  const left = untilMs === undefined ? '' : ` for ${ago(nowMs, untilMs)} more`;
  return warning('servers', name, `it is cordoned${left}: it gets no requests`, 'nemuri uncordon NAME');
}

function wakeFindings({ state, config }: ServerView): Finding[] {
  const { name } = state;
  const abilities = new Set(config.power.flatMap((method) => [...capabilitiesOf(method)]));
  if (!abilities.has('wake') || !abilities.has('sleep')) {
    const lacks = ['wake', 'sleep'].filter((one) =>
      one === 'wake' ? !abilities.has('wake') : !abilities.has('sleep'),
    );
    const found = `no method of it can ${lacks.join(' or ')} it: it stays awake`;
    return [warning('wake', name, found, 'add one to its power: docs/power.md')];
  }
  if (failedItsDrill(state))
    return [
      failure(
        'wake',
        name,
        'it failed its last fire drill: it does not count as capacity',
        'nemuri drill --server NAME',
      ),
    ];
  const proven = state.setupTimesMs.length > 0 || (state.drills?.passed ?? 0) > 0;
  if (proven) return [];
  const mend =
    state.lifecycle === 'asleep'
      ? 'nemuri drill --server NAME'
      : 'nemuri power test -c FILE --server NAME --really';
  return [warning('wake', name, 'nobody has seen it wake yet', mend)];
}
