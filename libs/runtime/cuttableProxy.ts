import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface CuttableProxy {
  readonly url: string;
  readonly port: number;
  /** What the server answers is lost from now on; what the client sends still arrives. */
  muteServer(): void;
  /** What the server answers waits from now on, until `release`. */
  hold(): void;
  release(): void;
  /** A cut cable: nothing passes in either direction, new connections hang; `plug` lets all of it go on. */
  unplug(): void;
  plug(): void;
  /** Ends all connections; new ones are whole again. */
  cut(): void;
  close(): Promise<void>;
}

/** A TCP proxy before a server, to lose or hold answers and connections at a chosen moment. */
export async function openCuttableProxy(port: number): Promise<CuttableProxy> {
  const sockets = new Set<Socket>();
  const held: (() => void)[] = [];
  /** Clients that came while the cable was cut. */
  const waiting = new Set<Socket>();
  let muted = false;
  let holding = false;
  let unplugged = false;
  const join = (client: Socket) => {
    const upstream = connect({ host: '127.0.0.1', port });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on('data', (data) => {
      if (muted) return;
      if (holding) held.push(() => client.write(data));
      else client.write(data);
    });
  };
  const server = createServer({ pauseOnConnect: true }, (client) => {
    if (unplugged) {
      waiting.add(client);
      sockets.add(client);
      client.on('error', () => undefined);
      client.once('close', () => {
        waiting.delete(client);
        sockets.delete(client);
      });
    } else join(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const cut = () => {
    muted = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: address.port,
    url: `nats://127.0.0.1:${address.port}`,
    muteServer() {
      muted = true;
    },
    hold() {
      holding = true;
    },
    release() {
      holding = false;
      for (const write of held.splice(0)) write();
    },
    unplug() {
      unplugged = true;
      for (const socket of sockets) socket.pause();
    },
    plug() {
      unplugged = false;
      for (const socket of sockets) if (!waiting.has(socket)) socket.resume();
      for (const client of waiting) join(client);
      waiting.clear();
    },
    cut,
    async close() {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}
