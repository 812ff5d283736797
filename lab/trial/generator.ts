import { messageOf } from '../../libs/runtime/errors.ts';
import { runOpenLoop } from '../load/openLoop.ts';
import { readTrace } from '../traces/trace.ts';
import { bucketOf, emptyBuckets } from './latencyBuckets.ts';
import type { ChapterLoad, GeneratorMessage, GeneratorOrder } from './messages.ts';
import { chapterRandom, chapterSecondsOf, thinnedArrivals, trialLoad } from './series.ts';

/**
 * The load of one arm, in a process of its own: open loop, each request timed from the moment it was due. Its order
 * comes as JSON in the first argument, what it measures goes over the channel to its parent.
 */
const timeoutMs = 60_000;
const progressIntervalMs = 1_000;
const maxCauses = 20;
/** So long the load goes on evenly before it counts: new processes are slow at first, on any machine. */
const leadInSeconds = 8;

type Counts = { -readonly [K in keyof ChapterLoad]: ChapterLoad[K] } & {
  buckets: number[];
  causes: Record<string, number>;
};

const emptyCounts = (): Counts => ({
  requests: 0,
  failed: 0,
  late: 0,
  causes: {},
  buckets: emptyBuckets(),
  maxMs: 0,
});
const tell = (message: GeneratorMessage) => void process.send?.(message);

async function run({ address, target, options, seconds, fromChapter }: GeneratorOrder): Promise<void> {
  const { speed, seed } = options;
  const { capacityRps, latencyObjectiveMs, host } = target;
  const asked = { url: `${address}${target.path}`, ...(host === undefined ? {} : { host }), timeoutMs };
  const load = trialLoad(
    await readTrace(options.trace),
    options,
    capacityRps * options.peakShare,
    capacityRps,
  );
  const chapterSeconds = chapterSecondsOf(speed);
  const chapterMs = (chapterSeconds / speed) * 1_000;
  const chapters = Math.ceil(seconds / chapterSeconds);
  const abort = new AbortController();
  process.on('SIGTERM', () => abort.abort());

  function* arrivals(): Generator<number> {
    for (let chapter = fromChapter; chapter < chapters; chapter += 1) {
      const fromSecond = chapter * chapterSeconds;
      const part = { fromSecond, toSecond: Math.min(seconds, fromSecond + chapterSeconds), speed };
      const startSeconds = ((chapter - fromChapter) * chapterSeconds) / speed;
      for (const due of thinnedArrivals(load, part, chapterRandom(seed, chapter))) {
        sent(chapter);
        yield startSeconds + due;
      }
    }
  }
  const open = new Map<number, { readonly counts: Counts; waiting: number }>();
  let recent = emptyCounts();
  const of = (chapter: number) => {
    const known = open.get(chapter) ?? { counts: emptyCounts(), waiting: 0 };
    open.set(chapter, known);
    return known;
  };
  /** An arrival is drawn one ahead of its sending: the chapter is not over before that. */
  const sent = (chapter: number) => {
    of(chapter).waiting += 1;
  };
  const count = (counts: Counts, latencyMs: number, cause: string | undefined) => {
    counts.requests += 1;
    counts.maxMs = Math.max(counts.maxMs, latencyMs);
    addOne(counts.buckets, latencyMs);
    if (cause !== undefined) {
      counts.failed += 1;
      const name = cause in counts.causes || Object.keys(counts.causes).length < maxCauses ? cause : 'other';
      counts.causes[name] = (counts.causes[name] ?? 0) + 1;
    } else if (latencyMs > latencyObjectiveMs) counts.late += 1;
  };
  const leadInRps = Math.max(target.leastLeadInRps, load.rate(fromChapter * chapterSeconds));
  const leadIn = Array.from(
    { length: Math.round(leadInSeconds * leadInRps) },
    (_none, index) => index / leadInRps,
  );
  await runOpenLoop({ ...asked, arrivals: leadIn, signal: abort.signal }).done;
  const startedMs = performance.now();
  const loop = runOpenLoop({
    ...asked,
    arrivals: arrivals(),
    signal: abort.signal,
    onEnd(dueMs, latencyMs, cause) {
      const chapter = fromChapter + Math.floor(dueMs / chapterMs);
      const known = of(chapter);
      known.waiting -= 1;
      for (const counts of [known.counts, recent]) count(counts, latencyMs, cause);
    },
  });
  tell({ kind: 'started' });
  const closeChapters = (all: boolean) => {
    const nowChapter = fromChapter + Math.floor((performance.now() - startedMs) / chapterMs);
    for (const [chapter, { counts, waiting }] of open) {
      if (!all && (chapter >= nowChapter || waiting > 0)) continue;
      open.delete(chapter);
      tell({ kind: 'chapter', chapter, load: counts });
    }
  };
  const report = () => {
    const { requests, failed, late, buckets } = recent;
    recent = emptyCounts();
    tell({ kind: 'progress', requests, failed, late, buckets, maxSendLagMs: loop.result().maxSendLagMs });
    closeChapters(false);
  };
  const timer = setInterval(report, progressIntervalMs);
  await loop.done;
  clearInterval(timer);
  report();
  if (!abort.signal.aborted) closeChapters(true);
}

function addOne(buckets: number[], latencyMs: number): void {
  const bucket = bucketOf(latencyMs);
  buckets[bucket] = (buckets[bucket] ?? 0) + 1;
}

process.on('disconnect', () => process.exit(1));
process.on('SIGINT', () => {});
run(JSON.parse(process.argv[2] ?? '{}') as GeneratorOrder).then(
  () => process.disconnect(),
  (error: unknown) => {
    process.stderr.write(`load generator: ${messageOf(error, 4_000)}\n`);
    process.exit(1);
  },
);
