import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import {
  freshAgentCheck,
  parseAgentCheck,
  type Saying,
  sayingOfAgentCheck,
  withAnswer,
} from '../libs/domain/mod.ts';
import type { Clock } from '../libs/runtime/clock.ts';
import { messageOf } from '../libs/runtime/errors.ts';
import { connectionsOn, usersLoggedIn } from './look.ts';
import type { HostPort } from './settings.ts';
import { createVitalsReader, type KernelFolders, readBootId, type Vitals } from './vitals.ts';

/** What an agent sees of its machine and, from there, of the network. */
export interface Senses {
  bootId(): Promise<string>;
  vitals(): Promise<Vitals>;
  /** What the operator wrote for this machine, in the words of an agent check; nothing: `ready`. */
  wish(): Promise<Saying>;
  /** Established connections to a local port; undefined: it can't be told. */
  connectionsOn(port: number): Promise<number | undefined>;
  usersLoggedIn(): Promise<number | undefined>;
  /** A connection, and no more: what a proxy answers is its clients' matter. @returns why there is none. */
  tryProxy(proxy: HostPort, timeoutMs: number): Promise<string | undefined>;
}

/** The senses of a real machine: its kernel's files and its network. */
export function kernelSenses(folders: KernelFolders, wishFile: string, clock: Clock): Senses {
  return {
    bootId: () => readBootId(folders),
    vitals: createVitalsReader(folders, clock.monotonicMs),
    async wish() {
      const text = await readFile(wishFile, 'utf8').catch(() => '');
      return sayingOfAgentCheck(withAnswer(freshAgentCheck, parseAgentCheck(text) ?? {}));
    },
    connectionsOn: (port) => connectionsOn(port, folders),
    usersLoggedIn: () => usersLoggedIn(folders),
    tryProxy,
  };
}

export function nameOf({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

async function tryProxy(proxy: HostPort, timeoutMs: number): Promise<string | undefined> {
  const socket = connect(proxy.port, proxy.host);
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    await once(socket, 'connect', { signal });
    return undefined;
  } catch (error) {
    const why = signal.aborted ? `no connection within ${timeoutMs} ms` : messageOf(error, 100);
    return `${nameOf(proxy)}: ${why}`;
  } finally {
    socket.on('error', () => undefined);
    socket.destroy();
  }
}
