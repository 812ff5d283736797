import {
  type Contradiction,
  factOfContradictions,
  isStorm,
  judge,
  type Observation,
  openContradictions,
  type ServerState,
  type Verdict,
} from '../../libs/domain/mod.ts';
import type { EventDraft } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import { startLoop } from '../../libs/runtime/loop.ts';
import type { ServiceContext } from '../../libs/runtime/service.ts';

/** A fact without the server it is about. */
type Said = { readonly type: EventDraft['type'] } & Readonly<Record<string, unknown>>;

const publishTimeoutMs = 2_000;
/** Looks in the time in which a contradiction is confirmed. */
const looksPerConfirmation = 3;

export interface ContradictionsOptions extends Pick<ServiceContext, 'log' | 'nowMs' | 'clock'> {
  readonly view: FleetView;
  /** What all its witnesses say of a server now. */
  readonly observe: (state: ServerState) => Observation;
  /** Epoch ms of the last jump of a server's clock; undefined: none. */
  readonly clockJumpedMs: (server: string) => number | undefined;
}

export interface Contradictions {
  /** What is believed of a server by all its witnesses. */
  verdict(state: ServerState): Verdict;
  stop(): Promise<void>;
}

/** Looks at what the witnesses of every server say together; names what can't all be right, and settles it in time. */
export function watchContradictions(options: ContradictionsOptions): Contradictions {
  const { view, log, nowMs, observe } = options;
  /** Server → contradiction → epoch ms since when it is seen without a break. */
  const seen = new Map<string, Map<Contradiction, number>>();

  const showing = (state: ServerState): Set<Contradiction> => {
    const bounds = view.fleet.config?.bounds;
    const { contradiction } = judge(observe(state));
    const now = new Set<Contradiction>(contradiction ? [contradiction] : []);
    const jumpedMs = options.clockJumpedMs(state.name);
    if (bounds && jumpedMs !== undefined && nowMs() - jumpedMs < bounds.contradictionSettleMs)
      now.add('clockJump');
    if (bounds && isStorm(state, bounds, nowMs())) now.add('restartStorm');
    return now;
  };
  const look = async (state: ServerState) => {
    const bounds = view.fleet.config?.bounds;
    if (!bounds) return;
    const now = showing(state);
    const since = seen.get(state.name) ?? new Map<Contradiction, number>();
    for (const name of since.keys()) if (!now.has(name)) since.delete(name);
    for (const name of now) if (!since.has(name)) since.set(name, nowMs());
    if (since.size > 0) seen.set(state.name, since);
    else seen.delete(state.name);
    const fact = factOfContradictions(state, since, bounds, nowMs());
    if (fact)
      await publish(
        state,
        fact.type === 'ContradictionDetected' ? { ...fact, evidence: inWords(observe(state)) } : fact,
      );
    // The verdict on a zombie that was taken for asleep: its sleep counts for nothing.
    const sleepless =
      state.lifecycle === 'asleep' && state.contradictions?.zombie?.settled && now.has('zombie');
    if (!fact && sleepless)
      await publish(state, { type: 'SleepContradicted', evidence: inWords(observe(state)) });
  };
  const publish = async ({ name, pool }: ServerState, fact: Said) => {
    const { type, ...said } = fact;
    const draft = { type, data: { server: name, pool, ...said } } as EventDraft;
    if (await view.record(draft, publishTimeoutMs)) log.warn({ server: name, ...said }, type);
  };
  const forget = view.onChange((event) => {
    if (event.type !== 'FleetConfigured') return;
    for (const server of seen.keys()) if (!Object.hasOwn(view.fleet.servers, server)) seen.delete(server);
  });
  const loop = startLoop({
    clock: options.clock,
    work: async () => {
      for (const name of Object.keys(view.fleet.servers)) {
        const state = view.fleet.servers[name];
        if (state) await look(state);
      }
    },
    delayMs: () => (view.fleet.config?.bounds.contradictionConfirmMs ?? 1_500) / looksPerConfirmation,
    onError: (error) => log.warn({ error: messageOf(error) }, 'contradictions not looked at'),
  });
  return {
    verdict: (state) => judge(observe(state)),
    async stop() {
      forget();
      await loop.stop();
    },
  };
}

/**
 * May the probes' word that a server is unhealthy be published? Not while proxies are served well by it: for the
 * time until that contradiction is settled, it may be the prober's own network that is dead.
 */
export function holdsBack(state: ServerState, verdict: Verdict): boolean {
  if (verdict.contradiction !== 'splitView' || verdict.action !== 'keep') return false;
  const known = state.contradictions?.splitView;
  return known === undefined || openContradictions(state).includes('splitView');
}

function inWords({ lifecycle, power, heartbeat, probe, traffic }: Observation): string {
  return `${lifecycle}; power ${power}, heartbeat ${heartbeat}, probe ${probe}, traffic ${traffic}`;
}
