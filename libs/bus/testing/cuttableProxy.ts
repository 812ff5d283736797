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
  /** Ends all connections; new ones are whole again. */
  cut(): void;
  close(): Promise<void>;
}

/** A TCP proxy before a server, to lose or hold answers and connections at a chosen moment. */
export async function openCuttableProxy(port: number): Promise<CuttableProxy> {
  const sockets = new Set<Socket>();
  const held: (() => void)[] = [];
  let muted = false;
  let holding = false;
  const server = createServer((client) => {
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
    cut,
    async close() {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}
