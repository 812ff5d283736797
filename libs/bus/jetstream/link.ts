import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { KV } from '@nats-io/kv';
import { AuthorizationError, connect, createInbox, type NatsConnection } from '@nats-io/transport-node';
import type { StreamName } from '../../events/mod.ts';
import { BusClosedError, BusTimeoutError } from '../bus.ts';
import { messageOf } from '../problems.ts';
import { loginOf } from './credentials.ts';
import {
  type JetStreamBusOptions,
  missedPulses,
  mostRetryMs,
  pulseMs,
  requestTimeoutMs,
  retryMs,
} from './options.ts';
import { checkStreams, type Pulse, type PulseOptions, startPulse, troubleOf } from './pulse.ts';
import { ensureStreams, openSnapshotBucket, StreamRefusedError } from './streams.ts';

export interface Session {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly snapshots: KV;
  /** A subject that is nobody else's, for what the bus sends us. */
  newInbox(): string;
}

/** The connection, with what the client's own lacks: one place that knows whether the bus can be used now. */
export interface Link {
  /** Resolves when the bus can be used; waits for that. Rejects with BusClosedError, or BusTimeoutError. */
  whenUp(timeoutMs?: number): Promise<Session>;
  /** Settles as `work` does, or rejects when the connection is lost meanwhile or the link is closed. */
  guard<T>(work: Promise<T>): Promise<T>;
  /** Waits, but not past the moment in which the bus comes back or the link is closed. */
  pause(delayMs: number): Promise<void>;
  /** Called each time the bus was lost and can be used again. */
  onReturn(listener: () => void): () => void;
  onClose(listener: () => void): () => void;
  /** What a publish came to: it tells of a bus that answers and stores nothing. */
  stored(stream: StreamName): void;
  unstored(stream: StreamName, error: unknown): void;
  readonly lostSinceMs: number | undefined;
  /** Why it is lost, in words. */
  readonly lostWhy: string | undefined;
  readonly isUp: boolean;
  readonly isClosed: boolean;
  now(): number;
  report(problem: Error): void;
  close(): Promise<void>;
}

type Change = 'up' | 'lost' | 'closed';
type Listen = (listener: (change: Change) => void) => () => void;

interface LinkState {
  readonly options: JetStreamBusOptions;
  readonly listeners: Set<(change: Change) => void>;
  readonly listen: Listen;
  readonly now: () => number;
  readonly report: (problem: Error) => void;
  /** Tries that fail in the same way again and again are one problem, not thousands. */
  readonly reportOnce: (problem: Error) => void;
  lostSinceMs: number | undefined;
  lostWhy: string | undefined;
  session: Session | undefined;
  connection: NatsConnection | undefined;
  closed: boolean;
  readonly reported: Set<string>;
  /** Counts the connections and their losses, so that work for an earlier one is known as such. */
  epoch: number;
}

/** Dials in the background. @returns the link at once; `firstUp` rejects when the server refuses our credentials or streams. */
export function openLink(options: JetStreamBusOptions): { link: Link; firstUp: Promise<void> } {
  const state = createState(options);
  const { listen, report, now } = state;
  const pulse = watchPulse(state);
  const link: Link = {
    whenUp: (timeoutMs) => whenUp(state, timeoutMs),
    guard: (work) => guard(state, work),
    pause: (delayMs) => pause(state, delayMs),
    onReturn: (listener) => listen((change) => change === 'up' && listener()),
    onClose: (listener) => listen((change) => change === 'closed' && listener()),
    stored: pulse.stored,
    unstored: pulse.unstored,
    get lostSinceMs() {
      return state.lostSinceMs;
    },
    get lostWhy() {
      return state.lostSinceMs === undefined ? undefined : state.lostWhy;
    },
    get isUp() {
      return !state.closed && state.lostSinceMs === undefined;
    },
    get isClosed() {
      return state.closed;
    },
    now,
    report,
    async close() {
      if (state.closed) return;
      state.closed = true;
      state.lostSinceMs ??= now();
      pulse.stop();
      tell(state, 'closed');
      await state.connection?.close();
    },
  };
  return { link, firstUp: start(state) };
}

function createState(options: JetStreamBusOptions): LinkState {
  const { now = Date.now, onProblem = () => undefined } = options;
  const listeners: LinkState['listeners'] = new Set();
  const report = (problem: Error) => {
    try {
      onProblem(problem);
    } catch {
      // There is nobody left to tell.
    }
  };
  const state: LinkState = {
    options,
    listeners,
    listen(listener) {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    now,
    report,
    reportOnce(problem) {
      if (state.reported.has(problem.message)) return;
      state.reported.add(problem.message);
      report(problem);
    },
    lostSinceMs: now(),
    lostWhy: 'not connected yet',
    session: undefined,
    connection: undefined,
    closed: false,
    reported: new Set(),
    epoch: 0,
  };
  return state;
}

function tell(state: LinkState, change: Change): void {
  for (const listener of [...state.listeners]) listener(change);
}

function markLost(state: LinkState, why: string, forMs = 0): void {
  if (state.closed || state.lostSinceMs !== undefined) return;
  state.lostSinceMs = state.now() - forMs;
  state.lostWhy = why;
  tell(state, 'lost');
}

function watchPulse(state: LinkState): Pulse {
  const { pulseMs: everyMs = pulseMs } = state.options;
  const onSilent: PulseOptions['onSilent'] = ({ why, forMs, unstored }) => {
    const { connection } = state;
    if (state.closed || state.lostSinceMs !== undefined || !connection) return;
    state.reportOnce(new Error(`the bus is lost: ${why}`));
    markLost(state, why, forMs);
    // Only a publish can prove that the stream stores again, so it is tried after a while.
    if (unstored) prepare(state, connection, everyMs * missedPulses).catch(state.report);
    else (hasOthers(state) ? connection.reconnect() : prepare(state, connection)).catch(state.report);
  };
  const ask = () =>
    state.lostSinceMs === undefined ? state.session && checkStreams(state.session.manager) : undefined;
  const pulse = startPulse({ everyMs, ask, onSilent });
  state.listen((change) => change === 'up' && pulse.restart());
  return pulse;
}

/** Another nats-server of the cluster may stand with the majority while ours is cut off from it. */
function hasOthers({ options: { servers } }: LinkState): boolean {
  return typeof servers !== 'string' && servers.length > 1;
}

async function start(state: LinkState): Promise<void> {
  const nc = await dial(state);
  if (!nc) return;
  if (state.closed) return nc.close();
  state.connection = nc;
  follow(state, nc).catch((error: unknown) => state.report(new Error(messageOf(error), { cause: error })));
  await prepare(state, nc);
  if (!state.session && !state.closed) await whenUp(state, undefined).catch(() => undefined);
}

/** JetStream may need longer than the connection; only when the streams are there and can store is the bus back. */
async function prepare(state: LinkState, nc: NatsConnection, afterMs = 0): Promise<void> {
  state.epoch += 1;
  const mine = state.epoch;
  if (afterMs > 0) await pause(state, afterMs);
  const { pulseMs: everyMs = pulseMs } = state.options;
  const moveOnMs = performance.now() + everyMs * missedPulses;
  let waitMs = retryMs;
  while (!state.closed && mine === state.epoch) {
    try {
      const session = await openSession(nc, state.options);
      if (state.closed || mine !== state.epoch) return;
      state.session = session;
      state.lostSinceMs = undefined;
      state.reported.clear();
      tell(state, 'up');
      return;
    } catch (error) {
      if (error instanceof StreamRefusedError && !state.session) throw error;
      if (state.closed || mine !== state.epoch) return;
      state.lostWhy = troubleOf(error);
      state.reportOnce(new Error(`the bus is not ready: ${state.lostWhy}`, { cause: error }));
      // The connection that follows prepares itself.
      if (hasOthers(state) && performance.now() > moveOnMs) return nc.reconnect();
      await pause(state, waitMs);
      waitMs = Math.min(2 * waitMs, mostRetryMs);
    }
  }
}

async function follow(state: LinkState, nc: NatsConnection): Promise<void> {
  for await (const status of nc.status()) {
    if (status.type === 'disconnect') {
      state.epoch += 1;
      markLost(state, 'no connection to a nats-server');
    } else if (status.type === 'reconnect') prepare(state, nc).catch(state.report);
    else if (status.type === 'error') state.reportOnce(status.error);
  }
  if (state.closed) return;
  const why = 'the connection to the bus was given up';
  markLost(state, why);
  state.report(new Error(why));
}

function whenUp(state: LinkState, timeoutMs: number | undefined): Promise<Session> {
  if (state.closed) return Promise.reject(new BusClosedError());
  if (state.session && state.lostSinceMs === undefined) return Promise.resolve(state.session);
  return new Promise((resolve, reject) => {
    const finish = (error?: Error) => {
      clearTimeout(timer);
      stop();
      if (state.session && !error) resolve(state.session);
      else reject(error);
    };
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => finish(new BusTimeoutError('a request', timeoutMs)), timeoutMs);
    const stop = state.listen((change) => {
      if (change === 'up') finish();
      else if (change === 'closed') finish(new BusClosedError());
    });
  });
}

function guard<T>(state: LinkState, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = state.listen((change) => {
      if (change === 'up') return;
      stop();
      reject(change === 'closed' ? new BusClosedError() : new Error('the connection to the bus was lost'));
    });
    work.then(resolve, reject).finally(stop);
  });
}

function pause(state: LinkState, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      stop();
      resolve();
    };
    const timer = setTimeout(finish, state.closed ? 0 : delayMs);
    const stop = state.listen((change) => change !== 'lost' && finish());
  });
}

async function openSession(nc: NatsConnection, options: JetStreamBusOptions): Promise<Session> {
  const { limits = {} } = options;
  const js = jetstream(nc, { timeout: requestTimeoutMs });
  const manager = await jetstreamManager(nc, { timeout: requestTimeoutMs, checkAPI: false });
  await ensureStreams(manager, limits);
  await checkStreams(manager);
  const newInbox = () => createInbox(loginOf(options).inboxPrefix);
  const snapshots = await openSnapshotBucket(js, manager, limits);
  return { nc, js, manager, snapshots, newInbox };
}

/** The client's own waiting for a first connection can't be ended by closing; this can. */
async function dial(state: LinkState): Promise<NatsConnection | undefined> {
  const { source, name = source } = state.options;
  while (!state.closed) {
    try {
      return await connect({
        ...loginOf(state.options),
        name,
        reconnect: true,
        maxReconnectAttempts: -1,
        reconnectTimeWait: retryMs,
        reconnectJitter: 100,
        ignoreAuthErrorAbort: true,
        timeout: 2_000,
        // A dead server that closes no connection is found after three of these.
        pingInterval: 1_500,
        maxPingOut: 2,
        noAsyncTraces: true,
      });
    } catch (error) {
      if (error instanceof AuthorizationError) throw error;
      state.reportOnce(new Error(`the bus can't be reached: ${messageOf(error)}`, { cause: error }));
      await pause(state, retryMs);
    }
  }
  return undefined;
}
