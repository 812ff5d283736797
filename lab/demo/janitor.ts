import { rm } from 'node:fs/promises';

/**
 * Outlives the demo by a moment: when its parent is gone, in whatever way, it removes the folder named on its
 * command line. Everything else the demo starts ends by itself when its channel to the parent closes.
 */
const [folder] = process.argv.slice(2);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', async () => {
  // nats-server and the services still write for a moment; a folder that fills again is removed again.
  const untilMs = Date.now() + 15_000;
  while (folder && Date.now() < untilMs) {
    await rm(folder, { recursive: true, force: true }).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
});
