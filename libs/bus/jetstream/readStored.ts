import type { StoredMessage, StreamName } from '../../events/mod.ts';
import { BusClosedError, type StartAt } from '../bus.ts';
import type { Link } from './link.ts';
import { openReader } from './reader.ts';

export interface ReadStoredOptions {
  readonly stream: StreamName;
  readonly filter?: string | undefined;
  readonly startAt: StartAt;
  readonly quietCheckMs: number;
}

type Item = { readonly message: StoredMessage; readonly pending: number } | 'nothing pending' | (() => void);

/**
 * What a stream holds from `startAt` to its present end, as fast as it comes; then it returns. Survives the bus
 * going away. The reader's flow control keeps what is not yet consumed within a bound.
 */
export async function* readStored(link: Link, options: ReadStoredOptions): AsyncGenerator<StoredMessage> {
  const session = await link.whenUp();
  const info = await link.guard(session.manager.streams.info(options.stream));
  const end = info.state.last_seq;
  const { startAt } = options;
  if (typeof startAt === 'object' && 'sequence' in startAt && startAt.sequence > end) return;

  let items: Item[] = [];
  let wake: () => void = () => undefined;
  const add = (item: Item) => {
    items.push(item);
    wake();
  };
  const reader = await openReader(link, {
    ...options,
    onMessage: (message, pending) => add({ message, pending }),
    onFlowControl: add,
    onNothingPending: () => add('nothing pending'),
  });
  const stopWaiting = link.onClose(() => wake());
  try {
    while (true) {
      if (items.length === 0 && !link.isClosed) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (link.isClosed) throw new BusClosedError();
      const batch = items;
      items = [];
      for (const item of batch) {
        if (item === 'nothing pending') return;
        if (typeof item === 'function') {
          item();
          continue;
        }
        if (item.message.sequence > end) return;
        yield item.message;
        if (item.message.sequence === end || item.pending === 0) return;
      }
    }
  } finally {
    stopWaiting();
    reader.stop();
  }
}
