import { createMemoryStore, openMemoryBus } from './memory.ts';
import { describeBus } from './testing/contract.ts';
import { makeNatsHarness } from './testing/natsHarness.ts';

describeBus('memory', async () => {
  const store = createMemoryStore();
  return {
    open: async (options) => openMemoryBus(store, { source: 'test', ...options }),
    putRaw: async (message) => store.putRaw(message),
    close: async () => undefined,
  };
});

describeBus('JetStream', () => makeNatsHarness());
