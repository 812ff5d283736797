import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { noBody } from '../body.ts';
import { createUpstreamClient, type UpstreamClient } from './client.ts';
import type { FailedAt } from './connection.ts';

type Answer =
  | { kind: 'answer'; status: number; body: string }
  | { kind: 'error'; at: FailedAt; message: string };

const bounds = {
  connectTimeoutMs: 1_000,
  responseTimeoutMs: 1_000,
  idleTimeoutMs: 1_000,
  keepAliveTimeoutMs: 1_000,
  maxHeaderBytes: 4_096,
  maxHeaders: 50,
};
const hello = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';

let servers: Server[];
let sockets: Set<Socket>;
let client: UpstreamClient | undefined;

/** A server of which each request is answered by `onRequest`, told how many came on its connection before. */
async function serve(onRequest: (socket: Socket, text: string, connection: number) => void): Promise<string> {
  let connections = 0;
  const server = createServer((socket) => {
    const connection = connections;
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => onRequest(socket, chunk.toString('latin1'), connection));
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function send(method = 'GET', idempotent = true): Promise<Answer> {
  return new Promise((resolve) => {
    let status = 0;
    let body = '';
    client?.send(
      { method, head: `${method} / HTTP/1.1\r\nHost: a\r\n\r\n`, body: noBody, chunked: false, idempotent },
      {
        onInformational: () => undefined,
        onQuiet: () => undefined,
        onBodySent: () => undefined,
        onHead: (head) => {
          status = head.status;
        },
        onData: (chunk) => {
          body += chunk.toString('latin1');
        },
        onEnd: () => resolve({ kind: 'answer', status, body }),
        onError: ({ message }, at) => resolve({ kind: 'error', at, message }),
      },
    );
  });
}

const answered = { kind: 'answer', status: 200, body: 'hello' };

beforeEach(() => {
  servers = [];
  sockets = new Set();
});

afterEach(() => {
  client?.destroy();
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
});

test('keeps a connection for the next request', async () => {
  const seen: number[] = [];
  client = createUpstreamClient(
    await serve((socket, _text, connection) => {
      seen.push(connection);
      socket.write(hello);
    }),
    bounds,
  );
  expect(await send()).toEqual(answered);
  expect(await send()).toEqual(answered);
  expect(seen).toEqual([0, 0]);
});

test('bytes that follow an answer are never taken for the next one', async () => {
  client = createUpstreamClient(
    await serve((socket, _text, connection) =>
      socket.write(connection === 0 ? `${hello}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong` : hello),
    ),
    bounds,
  );
  expect(await send()).toEqual(answered);
  expect(await send()).toEqual(answered);
});

test.each<[string, boolean, object]>([
  ['GET', true, answered],
  ['POST', false, { kind: 'error', at: 'beforeAnswer' }],
])('a kept connection that resets under a %s', async (method, idempotent, expected) => {
  let requests = 0;
  client = createUpstreamClient(
    await serve((socket) => {
      requests += 1;
      if (requests === 2) socket.resetAndDestroy();
      else socket.write(hello);
    }),
    bounds,
  );
  expect(await send()).toEqual(answered);
  expect(await send(method, idempotent)).toMatchObject(expected);
});

test('a fresh connection that resets is the failure it is', async () => {
  client = createUpstreamClient(await serve((socket) => socket.resetAndDestroy()), bounds);
  expect(await send()).toMatchObject({ kind: 'error', at: 'beforeAnswer' });
});

test('a refused connection never carried the request', async () => {
  const url = await serve(() => undefined);
  servers[0]?.close();
  client = createUpstreamClient(url, bounds);
  expect(await send()).toMatchObject({ kind: 'error', at: 'connect' });
});

test('silence before the answer, and within it, is bounded', async () => {
  const short = { ...bounds, responseTimeoutMs: 40, idleTimeoutMs: 40 };
  client = createUpstreamClient(
    await serve((socket, _text, connection) => {
      if (connection === 1) socket.write(hello.slice(0, -1));
    }),
    short,
  );
  expect(await send()).toMatchObject({ kind: 'error', at: 'timeout' });
  expect(await send()).toMatchObject({ kind: 'error', at: 'inAnswer' });
});

test('an idle connection is closed in time', async () => {
  client = createUpstreamClient(await serve((socket) => socket.write(hello)), {
    ...bounds,
    keepAliveTimeoutMs: 30,
  });
  expect(await send()).toEqual(answered);
  const [socket] = [...sockets];
  if (socket && !socket.destroyed) await once(socket, 'close');
});

test('what is not HTTP is a failure, and its connection is not used again', async () => {
  const seen: number[] = [];
  client = createUpstreamClient(
    await serve((socket, _text, connection) => {
      seen.push(connection);
      socket.write(connection === 0 ? 'SSH-2.0-OpenSSH\r\n\r\n' : hello);
    }),
    bounds,
  );
  expect(await send()).toMatchObject({ kind: 'error', message: expect.stringContaining('not HTTP/1.1') });
  expect(await send()).toEqual(answered);
  expect(seen).toEqual([0, 1]);
});
