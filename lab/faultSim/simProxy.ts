import { openFleetView } from '../../libs/runtime/fleetView.ts';
import type { RunningService, ServiceContext } from '../../libs/runtime/service.ts';
import { openDoors } from '../../services/proxy/doors.ts';
import type { Gate, Upstream } from '../../services/proxy/gate.ts';
import { countEnd } from '../../services/proxy/load.ts';
import type { Machine, OnMachine } from './machine.ts';
import type { Scheduler } from './scheduler.ts';

/** How a request ended. `killed`: its proxy died under it; `cut`: no proxy was there to take it. */
export type Ending = 'served' | 'failed' | 'rejected' | 'killed' | 'noProxy';

export interface RunningProxy extends RunningService {
  /** @param holdMs what a server that serves takes for it. */
  carry(holdMs: number): void;
  /** The process has been killed: its connections break. */
  drop(): void;
  readonly parked: number;
}

export interface SimProxyOptions {
  readonly context: ServiceContext;
  readonly scheduler: Scheduler;
  readonly random: () => number;
  readonly machineOf: (server: string) => Machine | undefined;
  readonly onSent: (machine: Machine) => void;
  readonly onEnd: (ending: Ending) => void;
}

interface Request {
  readonly holdMs: number;
  readonly startedMs: number;
  readonly gate: Gate;
  sent: number;
  isRetry: boolean;
}

type Outcome = 'answered' | 'notSent' | 'noAnswer' | 'timedOut';

/**
 * The production proxy without its sockets: fleet view, gates, parking, drains and samples are those of the service;
 * what stands for its exchange of bytes is here, with the same rules for what is tried again.
 */
export async function startSimProxy(options: SimProxyOptions): Promise<RunningProxy> {
  const { context, scheduler, random } = options;
  const { clock, log } = context;
  const view = await openFleetView({
    bus: context.bus,
    name: context.settings.name,
    onProblem: (problem, details) => log.warn(details, problem),
  });
  const doors = openDoors({ context, view, onConfigured: () => {}, onTimedOut: () => {} });
  const underWay = new Map<Request, { readonly machine: Machine; readonly entry: OnMachine } | undefined>();
  let onIdle: (() => void) | undefined;

  const end = (request: Request, ending: Ending) => {
    const { gate } = request;
    if (ending === 'rejected') gate.meter.rejected += 1;
    countEnd(gate.meter, clock.monotonicMs() - request.startedMs, ending !== 'served');
    if (request.isRetry) gate.endRetry();
    underWay.delete(request);
    options.onEnd(ending);
    if (underWay.size === 0) onIdle?.();
  };
  const next = (request: Request) => {
    const upstream = request.gate.take();
    if (upstream) return tryOn(request, upstream);
    const waitedMs = clock.monotonicMs() - request.startedMs;
    request.gate.park({ bytes: 100, signal: new AbortController().signal, waitedMs }).then(
      (found) => tryOn(request, found),
      () => end(request, 'rejected'),
    );
  };
  const tryOn = (request: Request, upstream: Upstream) => {
    const machine = options.machineOf(upstream.name);
    if (!machine) throw new Error(`no machine ${upstream.name}`);
    options.onSent(machine);
    const startedMs = clock.monotonicMs();
    const { connectTimeoutMs, responseTimeoutMs } = request.gate.config.forwarding;
    let over = false;
    const entry: OnMachine = { proxy: context.settings.name, onBroken: () => finish(2, 'noAnswer') };
    const finish = (afterMs: number, outcome: Outcome) => {
      if (over) return;
      over = true;
      const arrive = () => {
        machine.inFlight.delete(entry);
        underWay.set(request, undefined);
        onOutcome(request, upstream, outcome, clock.monotonicMs() - startedMs);
      };
      if (outcome === 'noAnswer') machine.inFlight.delete(entry);
      clock.after(afterMs, arrive);
    };
    const answer = () => {
      if (over) return;
      if (machine.life === 'serving') finish(1, 'answered');
      else finish(responseTimeoutMs, 'timedOut');
    };
    underWay.set(request, { machine, entry });
    const { life } = machine;
    if (life === 'serving' || life === 'hung') {
      machine.inFlight.add(entry);
      scheduler.after(1 + random() * 3 + request.holdMs, answer);
    } else finish(life === 'off' || life === 'dead' ? connectTimeoutMs : 3, 'notSent');
  };
  const beginRetry = (request: Request) => {
    if (!request.gate.beginRetry(request.isRetry)) return false;
    request.isRetry = true;
    return true;
  };
  const onOutcome = (request: Request, upstream: Upstream, outcome: Outcome, latencyMs: number) => {
    const { gate } = request;
    countEnd(upstream.meter, latencyMs, outcome !== 'answered');
    if (outcome === 'answered') {
      gate.learn(upstream, latencyMs);
      upstream.failures = 0;
    } else {
      const untilMs = gate.eject(upstream, outcome === 'notSent' ? 'unreachable' : 'failing');
      if (untilMs !== undefined) doors.onEjected(gate, upstream, untilMs, outcome);
    }
    gate.release(upstream);
    if (outcome === 'answered') return end(request, 'served');
    if (outcome !== 'notSent') request.sent += 1;
    const may = request.sent < gate.config.forwarding.maxAttempts;
    if (may && (outcome === 'notSent' || beginRetry(request))) next(request);
    else end(request, 'failed');
  };

  return {
    fleet: () => view.fleet,
    notReady: () => undefined,
    get parked() {
      return [...doors.gates.values()].reduce((sum, gate) => sum + gate.parking.count, 0);
    },
    carry(holdMs) {
      const gate = doors.gates.get('web');
      if (!gate) return options.onEnd('noProxy');
      gate.meter.arrivals += 1;
      const request = { holdMs, startedMs: clock.monotonicMs(), gate, sent: 0, isRetry: false };
      underWay.set(request, undefined);
      next(request);
    },
    drop() {
      for (const at of underWay.values()) at?.machine.inFlight.delete(at.entry);
      for (let left = underWay.size; left > 0; left -= 1) options.onEnd('killed');
      underWay.clear();
    },
    async stop() {
      if (underWay.size > 0) {
        await new Promise<void>((resolve) => {
          onIdle = resolve;
          clock.after(context.settings.stopTimeoutMs, resolve);
        });
      }
      await doors.sayGoodBye();
      doors.close();
      await view.close();
    },
  };
}
