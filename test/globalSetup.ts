import { ensureNatsServer } from '../libs/runtime/natsServer.ts';

/** Before any test: the one thing that the tests need and npm does not bring. Once, since apt takes one at a time. */
export default async function globalSetup(): Promise<void> {
  await ensureNatsServer({ log: (line) => process.stderr.write(`${line}\n`) });
}
