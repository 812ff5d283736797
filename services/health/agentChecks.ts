import { connect } from 'node:net';
import {
  type AgentCheckState,
  freshAgentCheck,
  maxAgentCheckBytes,
  parseAgentCheck,
  probePurpose,
  sayingOfAgentCheck,
  serverViewOf,
  withAnswer,
} from '../../libs/domain/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import { createCrew, startLoop } from '../../libs/runtime/loop.ts';
import type { ServiceContext } from '../../libs/runtime/service.ts';

const publishTimeoutMs = 2_000;

export interface AgentChecks {
  stop(): Promise<void>;
}

/**
 * Asks the HAProxy agents of those servers that have one, and says as their heartbeat what they answer. One that
 * sleeps is not asked.
 */
export function askAgentChecks(
  options: Pick<ServiceContext, 'bus' | 'log' | 'nowMs' | 'clock'> & {
    readonly view: FleetView;
    /** False: another replica asks. */
    readonly leads: () => boolean;
  },
): AgentChecks {
  const { bus, log, nowMs, view, leads } = options;
  const intervalMs = () => view.fleet.config?.bounds.heartbeatIntervalMs ?? 2_000;
  const askers = createCrew((server) => {
    let said: AgentCheckState = freshAgentCheck;
    const work = async () => {
      const known = serverViewOf(view.fleet, server);
      const port = known?.config.heartbeat.agentCheckPort;
      if (!known || port === undefined || !leads() || bus.lostSinceMs !== undefined) return;
      if (probePurpose(known.state, nowMs()) === 'none') return;
      const host = new URL(known.config.url).hostname.replace(/^\[|\]$/g, '');
      const text = await askOnce(host, port, intervalMs());
      const answer = parseAgentCheck(text);
      if (!answer) throw new Error(`no agent check: ${JSON.stringify(text.slice(0, 80))}`);
      said = withAnswer(said, answer);
      const { pool } = known.state;
      const about = { server, pool, via: 'agentCheck' as const, shuttingDown: false, unreachable: [] };
      const data = { ...about, ...sayingOfAgentCheck(said) };
      await bus.publish({ type: 'HeartbeatSent', data }, { timeoutMs: publishTimeoutMs });
    };
    return startLoop({
      clock: options.clock,
      work,
      delayMs: intervalMs,
      onError: (error) => log.debug({ server, error: messageOf(error) }, 'agent check without an answer'),
    });
  });
  const keep = () => {
    const servers = Object.entries(view.fleet.config?.servers ?? {});
    askers.keep(
      servers.filter(([, config]) => config.heartbeat.agentCheckPort !== undefined).map(([name]) => name),
    );
  };
  keep();
  const forget = view.onChange((event) => {
    if (event.type === 'FleetConfigured') keep();
  });
  return {
    async stop() {
      forget();
      await askers.stop();
    },
  };
}

/** The first line that the agent says. Rejects when there is none in time. */
function askOnce(host: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect({ host, port });
    const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (/[\r\n]/.test(text) || text.length >= maxAgentCheckBytes) socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}
