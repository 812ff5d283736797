import type { ServerResponse } from 'node:http';
import type { Fleet } from '../../libs/domain/mod.ts';
import type { Frame, Model } from './model.ts';

/** Pages that are open at once. */
export const maxViewers = 200;
/** A page that has so much unread is dropped; it comes back and begins anew. */
const maxUnreadBytes = 4 * 1024 * 1024;
/** For pages that were away for a moment. */
const keptFrames = 120;
const tickMs = 500;
const retryMs = 1_000;

export interface Live {
  readonly viewers: number;
  /** Sends what was missed since `lastEventId`, or everything, and from then on what changes. */
  join(response: ServerResponse, lastEventId: string | undefined): void;
  stop(): void;
}

export interface LiveOptions {
  readonly model: Model;
  readonly fleet: () => Fleet;
  readonly nowMs: () => number;
  readonly onDropped: () => void;
}

/**
 * Server-sent events (HTML Living Standard, 9.2): the same frame for every page, made once. A frame's id is
 * `<this process>-<count>`, so that an id from before a restart fits nothing and the page gets everything.
 */
export function startLive({ model, fleet, nowMs, onDropped }: LiveOptions): Live {
  const viewers = new Set<ServerResponse>();
  const frames: { readonly count: number; readonly text: string }[] = [];
  const process = nowMs().toString(36);
  let count = 0;

  const write = (viewer: ServerResponse, text: string) => {
    if (viewer.writableLength > maxUnreadBytes) {
      viewers.delete(viewer);
      viewer.destroy();
      onDropped();
      return;
    }
    viewer.write(text);
  };
  const text = (event: 'whole' | 'changes', frame: Frame) =>
    `id: ${process}-${count}\nevent: ${event}\ndata: ${JSON.stringify(frame)}\n\n`;
  const tick = () => {
    const frame = model.changes(fleet(), nowMs());
    count += 1;
    const sent = text('changes', frame);
    frames.push({ count, text: sent });
    if (frames.length > keptFrames) frames.shift();
    for (const viewer of viewers) write(viewer, sent);
  };
  tick();
  const timer = setInterval(tick, tickMs);

  return {
    get viewers() {
      return viewers.size;
    },
    join(response, lastEventId) {
      response.write(`retry: ${retryMs}\n\n`);
      const [from, seen] = lastEventId?.split('-') ?? [];
      const missed = from === process ? frames.filter((frame) => frame.count > Number(seen)) : [];
      const isWhole = from === process && (frames[0]?.count ?? Number.POSITIVE_INFINITY) <= Number(seen) + 1;
      if (isWhole && Number(seen) <= count) for (const frame of missed) write(response, frame.text);
      else write(response, text('whole', model.whole(fleet(), nowMs())));
      viewers.add(response);
      response.once('close', () => viewers.delete(response));
    },
    stop() {
      clearInterval(timer);
      for (const viewer of viewers) viewer.end();
      viewers.clear();
    },
  };
}
