import type { HeartbeatWitness, Observation, ServerState } from '../../libs/domain/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import { createLatencyHistogram } from '../../libs/runtime/latency.ts';
import { type Lease, leaderLeaseMs, openLease } from '../../libs/runtime/lease.ts';
import { createCrew, startLoop } from '../../libs/runtime/loop.ts';
import { createProbe, type ProbeResult } from '../../libs/runtime/probe.ts';
import { resolveSecret } from '../../libs/runtime/secrets.ts';
import { fleetReadiness, type RunningService, type ServiceContext } from '../../libs/runtime/service.ts';
import { createWebhooks } from '../../libs/runtime/webhooks.ts';
import { askAgentChecks } from './agentChecks.ts';
import { holdsBack, watchContradictions } from './contradictions.ts';
import { listenForHeartbeats } from './heartbeatHttp.ts';
import { followHeartbeats } from './heartbeats.ts';
import { type MakeProbe, startProber } from './prober.ts';
import { type HealthSettings, healthSettings } from './settings.ts';
import { followTraffic } from './traffic.ts';
import { createTurns } from './turns.ts';

/** A sign of life that could not be sent in this time is not worth sending. */
const publishTimeoutMs = 2_000;
const idleSampleIntervalMs = 1_000;

export interface RunningHealth extends RunningService {
  /** Where servers without an agent say that they are up. */
  readonly heartbeatUrl: string | undefined;
}

/**
 * The health checker: probes every server that may serve or is coming back, and proves the sleep of those that
 * are off. A server that sleeps is left alone.
 */
export async function startHealth(
  context: ServiceContext,
  { heartbeatListen }: HealthSettings = healthSettings(process.env),
  makeProbe: MakeProbe = createProbe,
): Promise<RunningHealth> {
  const { bus, log, nowMs, clock, chance, settings } = context;
  let lease: Lease | undefined;
  const leads = () => lease?.isHeld ?? false;
  const view = await openFleetView({
    bus,
    name: 'health',
    mayWrite: leads,
    onProblem: (problem, details) => log.warn(details, problem),
  });
  const turns = createTurns();
  const webhooks = createWebhooks({ readSecret: resolveSecret, log, nowMs, random: chance.random });
  const keepWebhooks = () => {
    if (view.fleet.config) webhooks.configure(view.fleet.config.notifications);
  };
  keepWebhooks();
  const latency = createLatencyHistogram();
  let sent = 0;
  let failed = 0;
  const late = createLatencyHistogram();
  const onProbe = (result: ProbeResult, lateMs: number) => {
    late.record(lateMs);
    sent += 1;
    if (!result.ok) failed += 1;
    latency.record(result.latencyMs);
  };

  const heartbeats = await followHeartbeats({ bus, log, nowMs, clock, view });
  const http =
    heartbeatListen && (await listenForHeartbeats({ bus, log, nowMs, view, listen: heartbeatListen }));
  const agentChecks = askAgentChecks({ bus, log, nowMs, clock, view, leads });
  const traffic = await followTraffic({ bus, log, view, clock });
  const observe = (state: ServerState): Observation => ({
    lifecycle: state.lifecycle,
    // What is read off the probes is no witness beside them.
    power: state.powerInferred ? 'unknown' : state.powerState,
    heartbeat: heartbeatWitness(state, heartbeats.speaks, view.fleet.config?.bounds.contradictionConfirmMs),
    probe: probers.get(state.name)?.witness ?? 'none',
    traffic: traffic.witness(state.name),
  });
  const contradictions = watchContradictions({
    log,
    nowMs,
    clock,
    view,
    observe,
    clockJumpedMs: heartbeats.clockJumpedMs,
  });
  const probers = createCrew((server) =>
    startProber(server, {
      view,
      log,
      nowMs,
      clock,
      random: chance.random,
      makeProbe,
      turns,
      onProbe,
      speaks: heartbeats.speaks,
      leads,
      holdsBack: (state) => holdsBack(state, contradictions.verdict(state)),
    }),
  );
  lease = await openLease({ ...context, leaseMs: () => leaderLeaseMs(view.fleet) });
  lease.onGained(() => {
    for (const prober of probers.all()) prober.nudge();
  });
  const keepProbers = () => probers.keep(Object.keys(view.fleet.servers));
  keepProbers();
  view.onChange((event) => {
    if (leads()) webhooks.notify(event);
    if (event.type === 'FleetConfigured') {
      keepProbers();
      keepWebhooks();
    } else if ('server' in event.data) probers.get(event.data.server)?.nudge();
  });

  let sampledAtMs = clock.monotonicMs();
  const sample = async () => {
    const timeMs = clock.monotonicMs();
    const data = {
      prober: settings.name,
      intervalMs: timeMs - sampledAtMs,
      sent,
      failed,
      latencyMs: latency.summary(),
      lateMs: late.summary(),
    };
    sampledAtMs = timeMs;
    sent = 0;
    failed = 0;
    latency.reset();
    late.reset();
    if (data.intervalMs <= 0 || !leads()) return;
    await bus.publish({ type: 'ProbesSampled', data }, { timeoutMs: publishTimeoutMs });
  };
  const sampler = startLoop({
    clock,
    work: sample,
    delayMs: () => view.fleet.config?.bounds.sampleIntervalMs ?? idleSampleIntervalMs,
    onError: (error) => log.debug({ error: messageOf(error) }, 'sample dropped'),
  });

  return {
    heartbeatUrl: http?.url,
    fleet: () => view.fleet,
    leads,
    notReady: () => fleetReadiness(view.fleet, bus),
    async stop() {
      await sampler.stop();
      await probers.stop();
      await contradictions.stop();
      await traffic.stop();
      await http?.close();
      await agentChecks.stop();
      await heartbeats.stop();
      await webhooks.stop();
      await view.close();
      await lease?.stop();
    },
  };
}

/** What was heard before the hardware went off, or just after, says nothing of one that is off. */
function heartbeatWitness(
  state: ServerState,
  speaks: (server: string, sinceMs?: number) => boolean,
  lateMs = 0,
): HeartbeatWitness {
  if (!state.heartbeat) return 'none';
  const isDown = state.powerState === 'off' || state.lifecycle === 'asleep';
  return speaks(state.name, isDown ? state.sinceMs + lateMs : 0) ? 'speaks' : 'silent';
}
