import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/**
 * Free ports are looked for below the range that systems give to outgoing connections: an origin that is off must
 * find its port free when it comes back.
 */
const firstPort = 20_000;
const lastPort = 32_000;
const maxTries = 500;

/** Binds `server`. @throws the error of listen, e.g. EADDRINUSE. */
export async function listen(server: Server, port: number, host: string): Promise<void> {
  const listening = once(server, 'listening');
  server.listen(port, host);
  await listening;
}

export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  await closed;
}

async function isFree(port: number, host: string): Promise<boolean> {
  const probe = createServer();
  try {
    await listen(probe, port, host);
    return true;
  } catch {
    return false;
  } finally {
    await closeServer(probe);
  }
}

/**
 * Binds `server` to a free even port whose odd neighbour is free too, and returns the even one. Whoever holds the
 * even port owns the neighbour, so racks that run at the same time do not take each other's.
 * @throws Error when nothing was free in 500 tries.
 */
export async function listenOnFreePair(server: Server, host: string, random: () => number): Promise<number> {
  for (let tries = 0; tries < maxTries; tries += 1) {
    const port = firstPort + 2 * Math.floor((random() * (lastPort - firstPort)) / 2);
    try {
      await listen(server, port, host);
    } catch {
      continue;
    }
    if (await isFree(port + 1, host)) return port;
    await closeServer(server);
  }
  throw new Error(`no free pair of ports between ${firstPort} and ${lastPort} on ${host}`);
}
