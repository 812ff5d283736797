import { parseListen } from '../../libs/runtime/service.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** What the health service is told by its environment, beside what every service is. */
export interface HealthSettings {
  /** Where servers without an agent say that they are up; undefined: nowhere. */
  readonly heartbeatListen: { readonly host: string; readonly port: number } | undefined;
}

/**
 * Reads `NEMURI_HEARTBEAT_LISTEN` (`host:port`).
 * @throws Error naming the variable, the rule and the value.
 */
export function healthSettings(env: Environment): HealthSettings {
  const { NEMURI_HEARTBEAT_LISTEN: listen } = env;
  return {
    heartbeatListen: listen === undefined ? undefined : parseListen('NEMURI_HEARTBEAT_LISTEN', listen),
  };
}
