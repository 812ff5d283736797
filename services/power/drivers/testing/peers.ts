import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Value } from '@sinclair/typebox/value';
import { type PowerMethod, PowerMethodSchema } from '../../../../libs/events/mod.ts';
import type { AgentDependencies } from '../agent.ts';
import type { DriverDependencies } from '../driver.ts';

/** What the tests of all drivers need: methods with their defaults, programs, and peers that behave badly. */

/** A method as `parseConfig` would hand it out. */
export function methodOf<D extends PowerMethod['driver']>(
  driver: D,
  said: object,
): Extract<PowerMethod, { driver: D }> {
  const filled = Value.Default(PowerMethodSchema, { driver, ...said });
  if (Value.Check(PowerMethodSchema, filled)) return filled as Extract<PowerMethod, { driver: D }>;
  throw new Error(`not a valid ${driver} method: ${JSON.stringify(filled)}`);
}

export const secretText = 'hunter2-S3cr3t';

/** Every reference is this one secret. */
export const deps: DriverDependencies & AgentDependencies = {
  resolveSecret: () => secretText,
  now: Date.now,
  ask: async () => undefined,
};

/** The place of a program; undefined when it is not installed. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** `describe`, or, where one of the programs is missing, a skip that names the package to install. */
export function describeWith(
  programs: Readonly<Record<string, string>>,
  name: string,
  tests: () => void,
): void {
  const missing = Object.entries(programs).filter(([program]) => findProgram(program) === undefined);
  if (missing.length === 0) return void describe(name, tests);
  const packages = [...new Set(missing.map(([, its]) => its))].join(' ');
  describe.skip(`${name} (skipped: apt-get install ${packages})`, tests);
}

export interface Workshop {
  /** A folder of its own. */
  folder(): Promise<string>;
  /** A folder with one shell script as a program, for `searchPath`. */
  program(name: string, script: string): Promise<string>;
  /** A UDP peer on loopback. */
  udpPeer(answer: (message: Buffer, reply: (data: Buffer) => void) => void, port?: number): Promise<number>;
  /** A TCP peer on loopback that says this to whoever comes, and nothing more; undefined: resets. */
  tcpPeer(greeting: string | undefined): Promise<number>;
  /** For afterEach. */
  clear(): Promise<void>;
}

export function createWorkshop(): Workshop {
  const folders: string[] = [];
  const sockets: Socket[] = [];
  const servers: Server[] = [];
  const folder = async () => {
    const path = await mkdtemp(join(tmpdir(), 'nemuri-test-'));
    folders.push(path);
    return path;
  };
  return {
    folder,
    async program(name, script) {
      const path = await folder();
      await writeFile(join(path, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      return `${path}${delimiter}${process.env.PATH}`;
    },
    async udpPeer(answer, port = 0) {
      const socket = createSocket('udp4');
      sockets.push(socket);
      socket.on('message', (message, from) =>
        answer(message, (data) => socket.send(data, from.port, from.address)),
      );
      socket.bind(port, '127.0.0.1');
      await once(socket, 'listening');
      return socket.address().port;
    },
    async tcpPeer(greeting) {
      const server = createServer((socket) => {
        socket.on('error', () => {});
        if (greeting === undefined) socket.resetAndDestroy();
        else socket.write(greeting);
      });
      servers.push(server);
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('no port');
      return address.port;
    },
    async clear() {
      for (const socket of sockets.splice(0)) socket.close();
      for (const server of servers.splice(0)) server.close();
      await Promise.all(folders.splice(0).map((path) => rm(path, { recursive: true, force: true })));
    },
  };
}

/** A UDP port that is free at this moment. */
export async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}
