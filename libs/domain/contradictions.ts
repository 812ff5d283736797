import type { Bounds, RecordedEvent } from '../events/mod.ts';
import type { ServerState } from './server.ts';
import { type Contradiction, verdicts } from './truth.ts';

/** A contradiction among the witnesses of a server, as the history tells it. JSON all through. */
export interface OpenContradiction {
  readonly sinceMs: number;
  readonly settleByMs: number;
  /** Its time was over and a verdict fell; it is kept until the witnesses agree again. */
  readonly settled: boolean;
}

export type Contradictions = Readonly<Partial<Record<Contradiction, OpenContradiction>>>;

/** The contradictions that are not settled yet: until they are, the server does not sleep. */
export function openContradictions({ contradictions = {} }: ServerState): Contradiction[] {
  const names = Object.keys(contradictions) as Contradiction[];
  return names.filter((name) => contradictions[name]?.settled === false);
}

/** It boots again and again: it gets no requests until it stands. */
export function isInStorm({ contradictions }: ServerState): boolean {
  return contradictions?.restartStorm !== undefined;
}

/** Folds what is said of contradictions into a server's state. */
export function evolveContradictions(server: ServerState, event: RecordedEvent): ServerState {
  if (event.type === 'ContradictionDetected') {
    const { contradiction, settleByMs } = event.data;
    if (server.contradictions?.[contradiction]) return server;
    const found = { sinceMs: event.timeMs, settleByMs, settled: false };
    return { ...server, contradictions: { ...server.contradictions, [contradiction]: found } };
  }
  if (event.type !== 'ContradictionSettled') return server;
  const { contradiction, agreed } = event.data;
  const { [contradiction]: known, ...others } = server.contradictions ?? {};
  if (!known) return server;
  if (!agreed)
    return { ...server, contradictions: { ...others, [contradiction]: { ...known, settled: true } } };
  if (Object.keys(others).length > 0) return { ...server, contradictions: others };
  const { contradictions: _none, ...rest } = server;
  return rest;
}

export type ContradictionFact =
  | {
      readonly type: 'ContradictionDetected';
      readonly contradiction: Contradiction;
      readonly settleByMs: number;
    }
  | {
      readonly type: 'ContradictionSettled';
      readonly contradiction: Contradiction;
      readonly agreed: boolean;
      readonly verdict: string;
    };

/**
 * The one fact about contradictions that the fleet does not know yet.
 * @param seen the contradictions that the witnesses show, each with the epoch ms since when without a break.
 */
export function factOfContradictions(
  server: ServerState,
  seen: ReadonlyMap<Contradiction, number>,
  bounds: Bounds,
  nowMs: number,
): ContradictionFact | undefined {
  const known = server.contradictions ?? {};
  for (const [contradiction, sinceMs] of seen) {
    if (known[contradiction] || nowMs - sinceMs < bounds.contradictionConfirmMs) continue;
    const durationMs = contradiction === 'zombie' ? bounds.sleepProofTimeoutMs : bounds.contradictionSettleMs;
    return { type: 'ContradictionDetected', contradiction, settleByMs: nowMs + durationMs };
  }
  for (const [name, { settled, settleByMs }] of Object.entries(known)) {
    const contradiction = name as Contradiction;
    if (!seen.has(contradiction)) {
      return {
        type: 'ContradictionSettled',
        contradiction,
        agreed: true,
        verdict: 'its witnesses agree again',
      };
    }
    if (!settled && nowMs >= settleByMs) {
      const verdict = verdicts[contradiction];
      return { type: 'ContradictionSettled', contradiction, agreed: false, verdict };
    }
  }
  return undefined;
}

/** Has it booted so often within the window, and nobody asked for it? */
export function isStorm({ restartsAtMs = [] }: ServerState, bounds: Bounds, nowMs: number): boolean {
  const recent = restartsAtMs.filter((timeMs) => nowMs - timeMs < bounds.restartStormWindowMs);
  return recent.length >= bounds.restartStormBoots;
}

/** When a heartbeat was sent, by the clock of its speaker, and when it was heard, by ours. Epoch ms. */
export interface Hearing {
  readonly sentMs: number;
  readonly heardMs: number;
}

/**
 * Did the speaker's clock jump between two heartbeats? A delay on the way shifts one hearing by less than it was
 * under way; a clock set anew shifts all that come after.
 */
export function clockJumped(before: Hearing, now: Hearing, jumpMs: number): boolean {
  const drift = now.sentMs - before.sentMs - (now.heardMs - before.heardMs);
  return Math.abs(drift) >= jumpMs;
}
