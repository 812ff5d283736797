import { createServer, type Server } from 'node:http';
import { listen } from './ports.ts';
import type { Rack } from './rack.ts';

/**
 * What the rack says of itself: every server's true state and the energy ledger in Wh of the rack's clock.
 * No secret is in it.
 */
export function rackReport(rack: Rack): object {
  const energy = rack.energy();
  return {
    timeScale: rack.timeScale,
    servers: rack.servers.map((server) => ({ ...server, ...rack.status(server.name) })),
    energy: { ...energy, elapsedMs: energy.timeMs - energy.fromMs },
  };
}

/** Serves `GET /rack` (the report) and `GET /healthz` in plain HTTP. */
export async function startStatusServer(rack: Rack, host: string, port: number): Promise<Server> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').replace(/\?.*$/, '');
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (!isRead) return response.writeHead(405, { allow: 'GET, HEAD' }).end();
    if (path === '/healthz') return response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
    if (path !== '/rack') return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(rackReport(rack)));
  });
  await listen(server, port, host);
  return server;
}
