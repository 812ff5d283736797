import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server as NetServer,
  type Socket,
} from 'node:net';
import { fleetConfig } from '../../../libs/domain/testing/builders.ts';
import type { FleetConfig } from '../../../libs/events/mod.ts';
import { freePort } from '../../../libs/runtime/freePort.ts';
import type { RunningService } from '../../../libs/runtime/service.ts';
import { createHarness, type Harness } from '../../testing/harness.ts';
import { type ProxySettings, startProxy } from '../proxy.ts';

/** A proxy under test with its origins, and a bus on which the test plays the other services. */
export interface Site {
  readonly harness: Harness;
  readonly proxy: RunningService | undefined;
  readonly port: number;
  /** Starts a web server. @returns its port. */
  origin(handler: RequestListener): Promise<number>;
  /** Starts a server of bytes. @returns its port. */
  rawOrigin(onConnection: (socket: Socket) => void): Promise<number>;
  readonly origins: readonly Server[];
  start(config: FleetConfig, settings?: Partial<ProxySettings>): Promise<void>;
  /** Health has said so of these servers. */
  ready(...servers: string[]): Promise<void>;
  /** Sends bytes on a new connection and resolves to all that comes back until the proxy closes it, or `until` fits. */
  talk(bytes: string, until?: (answer: string) => boolean): Promise<string>;
  stopProxy(): Promise<void>;
  close(): Promise<void>;
}

/** A pool `web` of servers s1, s2, … on these ports. */
export function configOf(ports: readonly number[], pool: object = {}, proxy: object = {}): FleetConfig {
  const config = fleetConfig({ servers: ports.length, pool, bounds: { sampleIntervalMs: 50 } });
  ports.forEach((originPort, index) => {
    const server = config.servers[`s${index + 1}`];
    if (server) server.url = `http://127.0.0.1:${originPort}`;
  });
  Object.assign(config.proxy, proxy);
  return config;
}

export function createSite(): Site {
  const harness = createHarness();
  const origins: Server[] = [];
  const rawOrigins: NetServer[] = [];
  const sockets = new Set<Socket>();
  let proxy: RunningService | undefined;
  let port = 0;

  const listenOn = async (server: NetServer) => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    return socket;
  };
  const stopProxy = async () => {
    const stopping = proxy;
    proxy = undefined;
    await stopping?.stop();
  };
  return {
    harness,
    origins,
    get proxy() {
      return proxy;
    },
    get port() {
      return port;
    },
    origin(handler) {
      const server = createServer(handler);
      origins.push(server);
      return listenOn(server);
    },
    rawOrigin(onConnection) {
      const server = createTcpServer((socket) => onConnection(keep(socket)));
      rawOrigins.push(server);
      return listenOn(server);
    },
    async start(config, settings = {}) {
      await harness.configure(config);
      port = await freePort('127.0.0.1');
      const at = { host: '127.0.0.1', port, traceSampleRatio: 0 };
      proxy = await startProxy(harness.context('proxy-0'), { ...at, ...settings });
    },
    async ready(...servers) {
      for (const server of servers) {
        const data = { server, pool: 'web', latencyMs: 1, consecutive: 2 };
        await harness.publish({ type: 'ServerBecameHealthy', data });
      }
    },
    talk(bytes, until = () => false) {
      const socket = keep(connect(port, '127.0.0.1'));
      socket.write(bytes, 'latin1');
      return new Promise((resolve) => {
        let answer = '';
        socket.on('data', (chunk) => {
          answer += chunk.toString('latin1');
          if (until(answer)) socket.destroy();
        });
        socket.once('close', () => resolve(answer));
      });
    },
    stopProxy,
    async close() {
      await stopProxy();
      for (const socket of sockets) socket.destroy();
      for (const server of origins) server.closeAllConnections();
      for (const server of [...origins, ...rawOrigins]) server.close();
      await harness.close();
    },
  };
}
