import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { startNatsCluster } from '../../runtime/natsCluster.ts';
import { ensureNatsServer, type NatsServer } from '../../runtime/natsServer.ts';
import { until } from './until.ts';

export interface NatsCluster {
  readonly servers: readonly NatsServer[];
  readonly urls: readonly string[];
  /** Resolves to the place of the stream's leader among `servers` once every copy of it is up to date. */
  whenWhole(stream: string): Promise<number>;
  close(): Promise<void>;
}

const patienceMs = 90_000;

/** Three real nats-servers on loopback that are one JetStream cluster. */
export async function startCluster(): Promise<NatsCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'nemuri-cluster-'));
  const binary = await ensureNatsServer({ log: (line) => process.stderr.write(`${line}\n`) });
  const { servers, names, stop } = await startNatsCluster(folder, binary);
  const urls = servers.map(({ url }) => url);
  const lookAt = async (stream: string) => {
    const nc = await connect({ servers: urls, timeout: 2_000 });
    try {
      const manager = await jetstreamManager(nc, { timeout: 2_000 });
      return (await manager.streams.info(stream)).cluster;
    } finally {
      await nc.close();
    }
  };
  return {
    servers,
    urls,
    async whenWhole(stream) {
      let leader = -1;
      await until(async () => {
        const cluster = await lookAt(stream).catch(() => undefined);
        const copies = cluster?.replicas ?? [];
        leader = names.indexOf(cluster?.leader ?? '');
        return (
          leader >= 0 && copies.length === 2 && copies.every(({ current, offline }) => current && !offline)
        );
      }, patienceMs);
      return leader;
    },
    async close() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
