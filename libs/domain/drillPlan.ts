import type { ServerView } from './fleet.ts';
import { failedItsDrill } from './hand.ts';
import type { PowerAction, PowerContext } from './powerAction.ts';

/**
 * The next step of a server's fire drill, if there is one to take: to begin it, because somebody asked or because it
 * has been asleep for too long, or to say how it ended. In between, it is woken like any server that is wanted.
 */
export function planDrill({ nowMs }: PowerContext, server: ServerView): PowerAction | undefined {
  const { state, pool } = server;
  const { drills } = state;
  const underWay = drills?.underWay;
  if (underWay) return endOfDrill(server, underWay.drillId, nowMs - underWay.startedAtMs);
  if (state.lifecycle !== 'asleep' || state.cordoned) return undefined;
  const asleepForMs = Math.max(0, nowMs - state.sinceMs);
  const start = (reason: string): PowerAction => ({
    kind: 'startDrill',
    server: state.name,
    asleepForMs,
    reason,
  });
  const requested = drills?.requested;
  if (requested && nowMs < requested.untilMs) return start(requested.reason);
  const { afterAsleepMs } = pool.drill;
  if (afterAsleepMs === 0) return undefined;
  // A spare that failed is asked again as often as one that never did, no more.
  const unprovenForMs = Math.min(asleepForMs, nowMs - (drills?.lastAtMs ?? 0));
  if (unprovenForMs < afterAsleepMs) return undefined;
  return start(`asleep for ${asleepForMs} ms${failedItsDrill(state) ? ', and failed its last drill' : ''}`);
}

function endOfDrill({ state }: ServerView, drillId: string, elapsedMs: number): PowerAction | undefined {
  const about = { server: state.name, drillId };
  switch (state.lifecycle) {
    case 'ready':
      if (state.health !== 'healthy') return undefined;
      return { kind: 'passDrill', ...about, setupMs: Math.max(0, elapsedMs) };
    case 'failed':
    case 'quarantined':
      return { kind: 'failDrill', ...about, reason: `its wake failed after ${elapsedMs} ms` };
    case 'draining':
    case 'stopping':
      return { kind: 'failDrill', ...about, reason: 'it was put to sleep before it had served' };
    default:
      return undefined;
  }
}
