import { StaleWriterError } from '../bus/mod.ts';
import type { Fleet } from '../domain/mod.ts';
import { type EventOf, leaseSubject } from '../events/mod.ts';
import { messageOf } from './errors.ts';
import { type Loop, startLoop } from './loop.ts';
import type { ServiceContext } from './service.ts';

/**
 * Which replica of a service leads. The leader says so on one subject of TELEMETRY again and again, each time fenced
 * by the last word there, so that of two that reach for it one is refused. No clock is compared with another: the
 * leader counts from before it spoke, the others from when they heard it, each by its own monotonic clock. So a
 * leader that was stopped knows that its time is over before it does anything else.
 */
export interface Lease {
  /** Asked anew each time: this replica leads, and its time is not over. */
  readonly isHeld: boolean;
  /**
   * A signal for one action: aborted when `signal` is or the lease is lost, and whoever calls its `throwIfAborted`
   * just before sending a command is told at that moment whether the lease still holds, and what `objection` then says.
   */
  guard(
    signal: AbortSignal,
    objection?: () => Error | undefined,
  ): { readonly signal: AbortSignal; release(): void };
  /** Called when this replica begins to lead. Returns the way to stop listening. */
  onGained(listener: () => void): () => void;
  /** Gives it up, so that another leads at once. */
  stop(): Promise<void>;
}

/** The lease of this replica was over before the command was sent. */
export class LeaseLostError extends Error {
  readonly code = 'NEMURI_LEASE_LOST';
  constructor(service: string) {
    super(`this replica of ${service} leads no more: nothing is sent`);
    this.name = 'LeaseLostError';
  }
}

export interface LeaseOptions
  extends Pick<ServiceContext, 'bus' | 'log' | 'nowMs' | 'settings' | 'clock' | 'chance'> {
  readonly leaseMs: () => number;
}

/** What was last said, and when this process heard it. */
interface Word {
  readonly sequence: number;
  readonly instance: string;
  readonly replica: string;
  readonly term: number;
  readonly leaseMs: number;
  readonly released: boolean;
  readonly heardMs: number;
}

interface Held {
  readonly term: number;
  readonly leaseMs: number;
  /** Just before the word was sent that holds it: by the monotonic clock, and in epoch ms. */
  readonly sinceMonotonicMs: number;
  readonly sinceMs: number;
}

/** Until the fleet is configured. */
const firstLeaseMs = 5_000;

/** How long a leader's word holds in this fleet. */
export function leaderLeaseMs({ config }: Fleet): number {
  return config?.bounds.leaderLeaseMs ?? firstLeaseMs;
}

/** So often a lease is renewed, and the others look, while one lasts. */
const looksPerLease = 4;

/**
 * Resolves after the first try to lead. A replica that comes back under its own name takes the lease at once; any
 * other waits until it has heard nothing for the leader's `leaseMs`: the take-over takes at most that and a quarter.
 */
export async function openLease(options: LeaseOptions): Promise<Lease> {
  const { bus, log, nowMs, leaseMs, clock, chance } = options;
  const { monotonicMs } = clock;
  const { service, name: replica } = options.settings;
  const instance = chance.newId();
  const listeners = new Set<() => void>();
  const guards = new Set<() => void>();
  let word: Word | undefined;
  let held: Held | undefined;
  let loop: Loop | undefined;
  let isFirst = true;
  let stopping = false;

  const isHeld = () => {
    if (!held || stopping) return false;
    // A wall clock that was set back, or a monotonic one that stood still in a suspend, must not lengthen it.
    const elapsedMs = Math.max(monotonicMs() - held.sinceMonotonicMs, nowMs() - held.sinceMs);
    return elapsedMs < held.leaseMs;
  };
  const lose = (why: string) => {
    if (!held) return;
    held = undefined;
    log.warn({ service, replica, why }, 'leads no more');
    for (const check of [...guards]) check();
  };
  const hear = ({ sequence, data }: EventOf<'LeaseHeld'>) => {
    if (word && sequence <= word.sequence) return;
    const { instance: speaker, replica: name, term, leaseMs: lastsMs, released } = data;
    const heardMs = monotonicMs();
    word = { sequence, instance: speaker, replica: name, term, leaseMs: lastsMs, released, heardMs };
    if (speaker !== instance) lose(`${name} leads`);
    if (released && speaker !== instance) loop?.wakeUp();
  };
  const mayTake = () => {
    if (!word || word.released || word.instance === instance) return true;
    return (isFirst && word.replica === replica) || monotonicMs() - word.heardMs > word.leaseMs;
  };
  const say = async (released: boolean) => {
    const lastsMs = leaseMs();
    const term = word?.instance === instance ? word.term : (word?.term ?? 0) + 1;
    const [sinceMonotonicMs, sinceMs] = [monotonicMs(), nowMs()];
    const data = { service, replica, instance, term, leaseMs: lastsMs, released };
    const fence = { expectedLastSubjectSequence: word?.sequence ?? 0, timeoutMs: lastsMs / 2 };
    const { sequence } = await bus.publish({ type: 'LeaseHeld', data }, fence);
    word = { sequence, instance, replica, term, leaseMs: lastsMs, released, heardMs: monotonicMs() };
    return { term, leaseMs: lastsMs, sinceMonotonicMs, sinceMs };
  };
  const look = async () => {
    if (held && !isHeld()) lose('its time is over');
    if (stopping || bus.lostSinceMs !== undefined || !mayTake()) return;
    const led = isHeld();
    try {
      held = await say(false);
    } catch (error) {
      if (!(error instanceof StaleWriterError)) throw error;
      await readLast();
      // A try of ours without an answer may have been the first.
      if (word?.instance !== instance) lose('another replica was first');
      return;
    } finally {
      isFirst = false;
    }
    if (led || !isHeld()) return;
    log.info({ service, replica, term: held.term }, 'leads');
    for (const listener of [...listeners]) listener();
  };
  const readLast = async () => {
    const last = await bus.lastOn('TELEMETRY', leaseSubject(service));
    if (last?.type === 'LeaseHeld') hear(last);
    else word = undefined;
  };

  const onError = (error: unknown) => log.debug({ service, error: messageOf(error) }, 'lease not renewed');
  const delayMs = () => leaseMs() / looksPerLease;
  let firstLook: () => void = () => undefined;
  const looked = new Promise<void>((resolve) => {
    firstLook = resolve;
  });
  await readLast();
  loop = startLoop({ clock, work: () => look().finally(() => firstLook()), delayMs, onError });
  const subscription = await bus.subscribe({
    stream: 'TELEMETRY',
    filter: leaseSubject(service),
    startAt: 'new',
    // Its sequences begin over. Who leads there is told by the next word, for which a whole lease is waited.
    onReplaced: () => {
      if (word) word = { ...word, sequence: 0, heardMs: monotonicMs() };
      return 'new';
    },
    onEvent: (event) => {
      if (event.type === 'LeaseHeld') hear(event);
    },
  });
  await looked;
  return {
    get isHeld() {
      return isHeld();
    },
    guard: (signal, objection = () => undefined) =>
      guardedSignal(signal, isHeld, guards, () => new LeaseLostError(service), objection),
    onGained(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async stop() {
      const led = isHeld();
      await loop?.stop();
      stopping = true;
      await subscription.stop();
      if (led && bus.lostSinceMs === undefined) await say(true).catch(onError);
    },
  };
}

/** An event loop that was stopped runs what has come meanwhile before its timers: so the signal looks when it is asked. */
function guardedSignal(
  signal: AbortSignal,
  isHeld: () => boolean,
  guards: Set<() => void>,
  lost: () => Error,
  objection: () => Error | undefined,
): ReturnType<Lease['guard']> {
  const controller = new AbortController();
  const check = () => {
    if (signal.aborted) controller.abort(signal.reason);
    else if (!isHeld()) controller.abort(lost());
  };
  const own = controller.signal;
  Object.defineProperty(own, 'throwIfAborted', {
    value: () => {
      check();
      const objected = own.aborted ? undefined : objection();
      if (objected) controller.abort(objected);
      AbortSignal.prototype.throwIfAborted.call(own);
    },
  });
  guards.add(check);
  signal.addEventListener('abort', check, { once: true });
  check();
  return {
    signal: own,
    release() {
      guards.delete(check);
      signal.removeEventListener('abort', check);
    },
  };
}
