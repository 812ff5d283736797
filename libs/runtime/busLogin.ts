import { access, constants } from 'node:fs/promises';
import type { BusLogin } from '../bus/mod.ts';
import { resolveSecret } from './secrets.ts';

/** For processes on a bus of our own, which knows no users: what the environment says of another bus is not for them. */
export const noBusLogin: NodeJS.ProcessEnv = {
  NEMURI_NATS_USER: undefined,
  NEMURI_NATS_PASSWORD: undefined,
  NEMURI_NATS_CA: undefined,
  NEMURI_NATS_CERT: undefined,
  NEMURI_NATS_KEY: undefined,
};

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * As whom and by what certificates we speak with NATS, where the URL does not say it: `NEMURI_NATS_USER`,
 * `NEMURI_NATS_PASSWORD` (`env:NAME` or `file:/path`), `NEMURI_NATS_CA`, `NEMURI_NATS_CERT` and `NEMURI_NATS_KEY`
 * (PEM files, read anew at each connection). With any of the three nothing is sent but over TLS.
 * @throws Error naming the variable, the rule and the value, never a secret.
 */
export async function busLogin(env: Environment): Promise<BusLogin> {
  const { NEMURI_NATS_USER: user, NEMURI_NATS_PASSWORD: reference } = env;
  if ((user === undefined) !== (reference === undefined))
    throw new Error('NEMURI_NATS_USER and NEMURI_NATS_PASSWORD must be there together');
  const password = reference === undefined ? undefined : await passwordOf(reference, env);
  const tls = await certificatesOf(env);
  return {
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
  };
}

async function passwordOf(reference: string, env: Environment): Promise<string> {
  try {
    return await resolveSecret(reference, env);
  } catch (error) {
    throw new Error(`NEMURI_NATS_PASSWORD: ${error instanceof Error ? error.message : ''}`);
  }
}

async function certificatesOf(env: Environment): Promise<BusLogin['tls']> {
  const names = { caFile: 'NEMURI_NATS_CA', certFile: 'NEMURI_NATS_CERT', keyFile: 'NEMURI_NATS_KEY' };
  const given = Object.entries(names).filter(([, variable]) => env[variable] !== undefined);
  if (given.length === 0) return undefined;
  if ((env.NEMURI_NATS_CERT === undefined) !== (env.NEMURI_NATS_KEY === undefined))
    throw new Error('NEMURI_NATS_CERT and NEMURI_NATS_KEY must be there together');
  for (const [, variable] of given) {
    const path = env[variable] ?? '';
    await access(path, constants.R_OK).catch(() => {
      throw new Error(`${variable} must be a file that can be read (got "${path}")`);
    });
  }
  return Object.fromEntries(given.map(([option, variable]) => [option, env[variable]]));
}
