import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Bus, connectJetStreamBus } from '../../libs/bus/mod.ts';
import { ensureNatsServer, startNatsServer } from '../../libs/runtime/natsServer.ts';
import { endProcess } from '../../libs/runtime/supervisor.ts';

export type SoakService = 'health' | 'power';

/** Where the services run that the soak judges. */
export interface SoakHost {
  readonly bus: Bus;
  start(service: SoakService): Promise<void>;
  stop(service: SoakService): Promise<void>;
  /** Both services and the bus. */
  close(): Promise<void>;
}

/** The password of every BMC is where the configuration says that it is. */
export const passwordVariable = 'NEMURI_SOAK_PASSWORD';

/** Each service a process, on a nats-server of our own. */
export async function startProcessHost(password: string): Promise<SoakHost> {
  const folder = await mkdtemp(join(tmpdir(), 'nemuri-soak-'));
  const log = (line: string) => void process.stderr.write(`${line}\n`);
  const nats = await startNatsServer({ binary: await ensureNatsServer({ log }), storeDir: folder });
  const bus = await connectJetStreamBus({ servers: nats.url, source: '/nemuri/soak', name: 'soak' });
  const services = new Map<SoakService, ChildProcess>();
  const stop = async (service: SoakService) => {
    const child = services.get(service);
    services.delete(service);
    await endProcess(child, 5_000);
  };
  return {
    bus,
    async start(service) {
      const env = {
        ...process.env,
        NEMURI_NATS_URL: nats.url,
        NEMURI_NAME: service,
        NEMURI_ADMIN_LISTEN: '127.0.0.1:0',
        NEMURI_LOG_LEVEL: 'fatal',
        [passwordVariable]: password,
      };
      const script = resolve('dist/services', service, 'main.js');
      services.set(service, fork(script, { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }));
    },
    stop,
    async close() {
      await Promise.all([...services.keys()].map(stop));
      await bus.close();
      await nats.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
