import { type Crowd, emptyCrowd } from './crowdTally.ts';
import { type Outcome, visit } from './visit.ts';

/**
 * A part of the crowd, for a parent process: `<port> <first turn> <count> <at once> <patience in ms>`. Says every
 * second, and when all have come and gone, what they got; at `stop` nobody more comes.
 */
const [port = 0, first = 0, count = 0, atOnce = 0, patienceMs = 0] = process.argv.slice(2).map(Number);
const reportMs = 1_000;
const bytes = 60_000;
const crowd: Crowd = emptyCrowd();
let next = 0;
let stopped = false;

const say = (kind: 'progress' | 'done') => void process.send?.({ kind, crowd });

function note(outcome: Outcome, tookMs: number): void {
  crowd.came += 1;
  crowd.slowestMs = Math.max(crowd.slowestMs, Math.round(tookMs));
  if (typeof outcome === 'string') crowd[outcome] += 1;
  else crowd.others[outcome.other] = (crowd.others[outcome.other] ?? 0) + 1;
}

async function one(): Promise<void> {
  while (next < count && !stopped) {
    const turn = first + next;
    next += 1;
    const startedMs = performance.now();
    note(await visit({ port, turn, bytes, patienceMs }), performance.now() - startedMs);
  }
}

process.on('message', () => {
  stopped = true;
});
process.on('disconnect', () => process.exit(0));
const timer = setInterval(say, reportMs, 'progress');
await Promise.all(Array.from({ length: atOnce }, one));
clearInterval(timer);
say('done');
