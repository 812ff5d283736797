import { join } from 'node:path';
import { freePort } from './freePort.ts';
import { type NatsServer, startNatsServer } from './natsServer.ts';

export interface NatsCluster {
  readonly servers: readonly NatsServer[];
  /** Their names, in the same order. */
  readonly names: readonly string[];
  stop(): Promise<void>;
}

const names: readonly string[] = ['n1', 'n2', 'n3'];
const startTimeoutMs = 30_000;

/**
 * Three nats-servers on loopback that are one JetStream cluster, their stores side by side in `folder`. They name
 * each other to no client, so that one that comes by a relay stays behind it.
 * @throws Error when one of them does not start.
 */
export async function startNatsCluster(folder: string, binary: string): Promise<NatsCluster> {
  const ports = await Promise.all(names.map(() => freePort('127.0.0.1')));
  const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join(', ');
  const starting = await Promise.allSettled(
    names.map((name, index) => {
      const listen = `127.0.0.1:${ports[index]}`;
      const extraConfig = `cluster { name: nemuri, listen: "${listen}", routes: [${routes}], no_advertise: true }`;
      return startNatsServer({ name, binary, storeDir: join(folder, name), extraConfig, startTimeoutMs });
    }),
  );
  const servers = starting.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const stop = async () => void (await Promise.all(servers.map((server) => server.stop())));
  const failed = starting.find((one) => one.status === 'rejected');
  if (failed) {
    await stop();
    throw failed.reason;
  }
  return { servers, names, stop };
}
