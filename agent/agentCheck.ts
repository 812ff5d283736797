import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import type { HostPort } from './settings.ts';

/** An HAProxy hangs up right after it has read. */
const idleTimeoutMs = 2_000;
const maxConnections = 64;

/**
 * Answers HAProxy's agent check: each connection gets one line and is closed.
 * @throws Error when the address is not free.
 */
export async function answerAgentChecks({ host, port }: HostPort, line: () => string): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.setTimeout(idleTimeoutMs, () => socket.destroy());
    socket.resume();
    socket.end(line());
  });
  server.maxConnections = maxConnections;
  server.listen(port, host);
  await once(server, 'listening');
  return server;
}
