import type { SleepOrder } from '../libs/events/mod.ts';
import { parseListen } from '../libs/runtime/service.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** What an agent is told by its environment, beside what every service is (`serviceSettings`). */
export interface AgentSettings {
  /** Where each proxy listens; each is tried from here. Empty: the bus alone says whether they live. */
  readonly proxies: readonly HostPort[];
  readonly proxyTimeoutMs: number;
  /** Does a user who is logged in forbid the sleep? */
  readonly users: 'block' | 'ignore';
  /** How long the last look waits for connections to go. */
  readonly lookTimeoutMs: number;
  /** Between the announcement of a shutdown and our end: at most this, less once no connection is open. */
  readonly shutdownWaitMs: number;
  /** SIGTERM means that the machine (or the container) goes down, not only this agent. */
  readonly announceOnStop: boolean;
  /** Where an HAProxy may ask (agent check); undefined: nowhere. */
  readonly checkListen: HostPort | undefined;
  /** A file in which the operator says `drain`, `maint`, `75% ready` and the like; missing: `ready`. */
  readonly wishFile: string;
  /** Program and arguments of each way to sleep. */
  readonly commands: Readonly<Record<SleepOrder['how'], readonly string[]>>;
  /** A command of these that runs longer has failed. */
  readonly commandTimeoutMs: number;
}

/**
 * Reads `NEMURI_AGENT_*` (docs/health.md lists them).
 * @throws Error naming the variable, the rule and the value.
 */
export function agentSettings(env: Environment): AgentSettings {
  const { NEMURI_AGENT_PROXIES: proxies = '', NEMURI_AGENT_CHECK_LISTEN: checkListen } = env;
  const addresses = proxies.split(',').map((text) => text.trim());
  return {
    proxies: addresses.filter((text) => text !== '').map((text) => parseListen('NEMURI_AGENT_PROXIES', text)),
    proxyTimeoutMs: milliseconds(env, 'NEMURI_AGENT_PROXY_TIMEOUT_MS', 1_000),
    users: oneOf(env, 'NEMURI_AGENT_USERS', ['block', 'ignore']),
    lookTimeoutMs: milliseconds(env, 'NEMURI_AGENT_LOOK_TIMEOUT_MS', 6_000),
    shutdownWaitMs: milliseconds(env, 'NEMURI_AGENT_SHUTDOWN_WAIT_MS', 5_000),
    announceOnStop: oneOf(env, 'NEMURI_AGENT_ANNOUNCE_ON_STOP', ['false', 'true']) === 'true',
    checkListen:
      checkListen === undefined ? undefined : parseListen('NEMURI_AGENT_CHECK_LISTEN', checkListen),
    wishFile: env.NEMURI_AGENT_WISH_FILE ?? '/run/nemuri/wish',
    commands: {
      suspend: command(env, 'NEMURI_AGENT_SUSPEND_COMMAND', 'systemctl suspend'),
      hibernate: command(env, 'NEMURI_AGENT_HIBERNATE_COMMAND', 'systemctl hibernate'),
      powerOff: command(env, 'NEMURI_AGENT_POWER_OFF_COMMAND', 'systemctl poweroff'),
    },
    commandTimeoutMs: milliseconds(env, 'NEMURI_AGENT_COMMAND_TIMEOUT_MS', 60_000),
  };
}

function milliseconds(env: Environment, variable: string, byDefault: number): number {
  const value = Number(env[variable] ?? byDefault);
  if (value > 0 && value <= 3_600_000) return value;
  throw new Error(`${variable} must be a number above 0, at most 3600000 (got "${env[variable]}")`);
}

function oneOf<T extends string>(env: Environment, variable: string, values: readonly [T, ...T[]]): T {
  const value = env[variable] ?? values[0];
  const known = values.find((one) => one === value);
  if (known !== undefined) return known;
  throw new Error(`${variable} must be ${values.join(' or ')} (got "${value}")`);
}

/** Words parted by blanks; no shell reads them. */
function command(env: Environment, variable: string, byDefault: string): readonly string[] {
  const words = (env[variable] ?? byDefault).split(/\s+/).filter((word) => word !== '');
  if (words.length > 0) return words;
  throw new Error(`${variable} must name a program (got "")`);
}
