import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstream } from '@nats-io/jetstream';
import { connect, headers } from '@nats-io/transport-node';
import type { EncodedEvent } from '../../events/mod.ts';
import { ensureNatsServer, type NatsServer, startNatsServer } from '../../runtime/natsServer.ts';
import { connectJetStreamBus, type JetStreamBusOptions } from '../jetstream.ts';
import type { BusHarness } from './contract.ts';

export interface NatsHarness extends BusHarness {
  readonly server: NatsServer;
  open(options?: Partial<JetStreamBusOptions>): ReturnType<typeof connectJetStreamBus>;
}

/** A real nats-server with an empty store, and buses on it. */
export async function makeNatsHarness(extraConfig = '', env: NodeJS.ProcessEnv = {}): Promise<NatsHarness> {
  const storeDir = await mkdtemp(join(tmpdir(), 'nemuri-bus-'));
  const binary = await ensureNatsServer({ log: (line) => process.stderr.write(`${line}\n`) });
  const server = await startNatsServer({ storeDir, binary, extraConfig, env });
  return {
    server,
    open: (options = {}) => connectJetStreamBus({ servers: server.url, source: 'test', ...options }),
    putRaw: (message) => putRaw(server.url, message),
    async close() {
      await server.stop();
      await rm(storeDir, { recursive: true, force: true });
    },
  };
}

async function putRaw(servers: string, message: EncodedEvent): Promise<void> {
  const connection = await connect({ servers });
  const rawHeaders = headers();
  for (const [name, value] of Object.entries(message.headers)) rawHeaders.set(name, value);
  await jetstream(connection).publish(message.subject, message.payload, { headers: rawHeaders });
  await connection.close();
}
