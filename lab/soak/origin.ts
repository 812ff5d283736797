import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { payload, sumOf } from './payload.ts';

/** A server of the soak: a process of its own, so that it can die. Its port is its only argument. */
const eventIntervalMs = 50;
const chunkBytes = 9_000;

async function chunks(response: ServerResponse, body: Buffer): Promise<void> {
  for (let at = 0; at < body.length && !response.destroyed; at += chunkBytes) {
    response.write(body.subarray(at, at + chunkBytes));
    if ((at / chunkBytes) % 4 === 3) await delay(2);
  }
  response.end();
}

function events(response: ServerResponse, seed: number): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  let count = 0;
  const timer = setInterval(() => {
    count += 1;
    response.write(`id: ${count}\ndata: ${seed} ${count}\n\n`);
  }, eventIntervalMs);
  response.once('close', () => clearInterval(timer));
}

async function upload(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  response.end(sumOf(Buffer.concat(parts)));
}

let inFlight = 0;
let most = 0;

const server = createServer((request, response) => {
  inFlight += 1;
  most = Math.max(most, inFlight);
  response.once('close', () => {
    inFlight -= 1;
  });
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://origin');
  const seed = Number(searchParams.get('seed'));
  const body = () => payload(seed, Number(searchParams.get('bytes')));
  response.setHeader('x-seed', seed);
  request.on('error', () => response.destroy());
  if (pathname === '/most') response.end(String(most));
  else if (pathname === '/bytes') response.end(body());
  else if (pathname === '/chunks') void chunks(response, body());
  else if (pathname === '/events') events(response, seed);
  else upload(request, response).catch(() => response.destroy());
});
server.keepAliveTimeout = 60_000;
const sockets = new WebSocketServer({ server });
sockets.on('connection', (socket) => {
  socket.on('error', () => undefined);
  socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary }));
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => process.send?.('listening'));
process.on('disconnect', () => process.exit(0));
