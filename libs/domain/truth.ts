import type { EventType } from '../events/mod.ts';
import type { Lifecycle, PowerState } from './server.ts';

/** The axes of the truth: what each witness says of one server at one moment. */
export interface Observation {
  /** What Nemuri held to be true up to now. */
  readonly lifecycle: Lifecycle;
  /** The hardware (BMC). */
  readonly power: PowerState;
  /** The server itself: never heard, heard within the lease, silent past it, heard from another boot. */
  readonly heartbeat: HeartbeatWitness;
  /** The probes: as asked for, an answer but not that, nobody there, not asked. */
  readonly probe: ProbeWitness;
  /** The proxies: requests end well, badly, well for some proxies only, or there are none. */
  readonly traffic: TrafficWitness;
}

export type HeartbeatWitness = 'none' | 'speaks' | 'silent' | 'rebooted';
export type ProbeWitness = 'good' | 'bad' | 'silent' | 'none';
export type TrafficWitness = 'idle' | 'good' | 'failing' | 'split';

/** Every value of every axis, in the order of the table. */
export const axes = {
  lifecycle: ['asleep', 'waking', 'ready', 'draining', 'stopping', 'failed', 'quarantined'],
  power: ['on', 'off', 'poweringOn', 'poweringOff', 'unknown'],
  heartbeat: ['none', 'speaks', 'silent', 'rebooted'],
  probe: ['good', 'bad', 'silent', 'none'],
  traffic: ['idle', 'good', 'failing', 'split'],
} as const satisfies { [A in keyof Observation]: readonly Observation[A][] };

/** `serves`: requests may go there; `up`: it lives and does not serve; `down`; `unclear`: nobody knows. */
export type Belief = 'serves' | 'up' | 'down' | 'unclear';

/**
 * `serve`: it gets requests; `keep`: it goes on serving while the contradiction is settled; `withhold`: it gets
 * nothing new, and a substitute is woken; `warmUp`: looked at as one that wakes; `wait`: what is under way has its
 * own time-out; `prove`: it is probed for the proof of its sleep; `fail`: its sleep counts for nothing; `none`.
 */
export type TruthAction = 'serve' | 'keep' | 'withhold' | 'warmUp' | 'wait' | 'prove' | 'fail' | 'none';

/** Witnesses that can't all be right; `clockJump` and `restartStorm` are seen in time, not in one observation. */
export type Contradiction =
  | 'zombie'
  | 'ghost'
  | 'halfDead'
  | 'lyingBmc'
  | 'splitView'
  | 'clockJump'
  | 'restartStorm';

export interface Verdict {
  readonly belief: Belief;
  readonly action: TruthAction;
  readonly contradiction?: Contradiction;
  /** The fact that the witnesses bring to light, where it is not news already. */
  readonly event?: EventType;
}

/** Somebody is there, whatever the hardware says. */
function isAlive({ heartbeat, probe }: Observation): boolean {
  return probe === 'good' || probe === 'bad' || heartbeat === 'speaks' || heartbeat === 'rebooted';
}

function isPowered({ power }: Observation): boolean {
  return power === 'on' || power === 'poweringOn';
}

/**
 * The fused truth: what is believed of a server by all its witnesses together, what is said, and what is done. The
 * hardware is right where it speaks (rule 4); fail awake where nobody knows. docs/truth-table.md is made of it.
 */
export function judge(seen: Observation): Verdict {
  switch (seen.lifecycle) {
    case 'asleep':
      return judgeSleeper(seen);
    case 'stopping':
      if (seen.power === 'off') return judgeSleeper(seen);
      return { belief: isAlive(seen) ? 'up' : 'unclear', action: 'wait' };
    case 'waking':
      return judgeWaking(seen);
    case 'ready':
    case 'draining':
      return judgeServing(seen);
    case 'failed':
    case 'quarantined':
      return judgeFailed(seen);
  }
}

function judgeSleeper(seen: Observation): Verdict {
  if (isPowered(seen)) return { belief: 'up', action: 'warmUp', event: 'PowerDriftDetected' };
  if (isAlive(seen)) {
    return { belief: 'up', action: 'fail', contradiction: 'zombie', event: 'SleepContradicted' };
  }
  if (seen.lifecycle === 'asleep') return { belief: 'down', action: 'none' };
  return seen.probe === 'silent'
    ? { belief: 'down', action: 'none', event: 'SleepVerified' }
    : { belief: 'down', action: 'prove' };
}

function judgeWaking(seen: Observation): Verdict {
  if (seen.power === 'off') {
    const down = { belief: 'down', action: 'wait' } as const;
    return isAlive(seen) ? { ...down, contradiction: 'lyingBmc', event: 'ContradictionDetected' } : down;
  }
  if (seen.probe === 'good') return { belief: 'serves', action: 'serve', event: 'ServerBecameHealthy' };
  return { belief: isAlive(seen) ? 'up' : 'unclear', action: 'wait' };
}

const halfDead: Verdict = {
  belief: 'up',
  action: 'withhold',
  contradiction: 'halfDead',
  event: 'ServerBecameUnhealthy',
};
const ghost: Verdict = {
  belief: 'unclear',
  action: 'withhold',
  contradiction: 'ghost',
  event: 'ServerBecameUnhealthy',
};
const splitView = { contradiction: 'splitView', event: 'ContradictionDetected' } as const;

function judgeServing(seen: Observation): Verdict {
  const { heartbeat, probe, traffic } = seen;
  if (seen.power === 'off') {
    return isAlive(seen)
      ? { belief: 'down', action: 'withhold', contradiction: 'lyingBmc', event: 'ContradictionDetected' }
      : { belief: 'down', action: 'withhold', event: 'PowerDriftDetected' };
  }
  if (heartbeat === 'rebooted') return { belief: 'up', action: 'warmUp', event: 'ServerRebooted' };
  switch (probe) {
    case 'good':
      if (traffic === 'split') return { belief: 'serves', action: 'keep', ...splitView };
      if (traffic === 'failing') return { belief: 'unclear', action: 'withhold', ...splitView };
      if (heartbeat === 'silent') return { belief: 'serves', action: 'serve', event: 'HeartbeatLost' };
      return { belief: 'serves', action: 'serve' };
    case 'bad':
      return halfDead;
    case 'silent':
      if (traffic === 'good' || traffic === 'split')
        return { belief: 'serves', action: 'keep', ...splitView };
      if (heartbeat === 'speaks') return halfDead;
      if (isPowered(seen)) return ghost;
      return { belief: 'down', action: 'withhold', event: 'ServerBecameUnhealthy' };
    case 'none':
      if (traffic === 'failing') return { belief: 'unclear', action: 'withhold' };
      return traffic === 'idle'
        ? { belief: 'unclear', action: 'wait' }
        : { belief: 'serves', action: 'keep' };
  }
}

function judgeFailed(seen: Observation): Verdict {
  const { power, probe } = seen;
  if (power === 'off') {
    const down = { belief: 'down', action: 'none' } as const;
    if (!isAlive(seen)) return down;
    return { ...down, contradiction: 'lyingBmc', event: 'ContradictionDetected' };
  }
  if (probe === 'good') return { belief: 'serves', action: 'serve', event: 'ServerBecameHealthy' };
  if (isAlive(seen)) return { belief: 'up', action: 'withhold' };
  const unclear = { belief: 'unclear', action: 'withhold' } as const;
  if (probe !== 'silent' || !isPowered(seen)) return unclear;
  return { ...unclear, contradiction: 'ghost', event: 'ContradictionDetected' };
}

/** What is held true of a contradiction when its time is over and its witnesses still disagree. */
export const verdicts: Readonly<Record<Contradiction, string>> = {
  zombie: 'it is up: its sleep counts for nothing, and it is looked at again',
  ghost: 'it is dead although its hardware is on: only a wake brings it back',
  halfDead: 'it does not serve, whatever it says of itself',
  lyingBmc: 'the hardware is right: it is off and gets no requests',
  splitView: 'the probes are right',
  clockJump: 'its clock is the one that is wrong: what it says is taken by the time of its arrival',
  restartStorm: 'it stands: it did not boot again',
};

/** Every observation there is, axis by axis: for the table and for tests. */
export function* observations(): Generator<Observation> {
  for (const lifecycle of axes.lifecycle)
    for (const power of axes.power)
      for (const heartbeat of axes.heartbeat)
        for (const probe of axes.probe)
          for (const traffic of axes.traffic) yield { lifecycle, power, heartbeat, probe, traffic };
}
