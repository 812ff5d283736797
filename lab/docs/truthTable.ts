import {
  axes,
  judge,
  type Observation,
  observations,
  type Verdict,
  verdicts,
} from '../../libs/domain/mod.ts';

/** The truth table as docs/truth-table.md holds it, made from `judge` itself. */

type Axis = keyof Observation;
const axisNames = ['lifecycle', 'power', 'heartbeat', 'probe', 'traffic'] as const satisfies readonly Axis[];

/** Observations that differ in nothing that matters: a set of values on each axis. */
interface Cube {
  readonly sets: Readonly<Record<Axis, readonly string[]>>;
  readonly verdict: string;
}

function wordsOf({ belief, contradiction, event, action }: Verdict): string {
  return [belief, contradiction ?? '', event ?? '', action].join(' | ');
}

/** Joins cubes that are the same on all axes but one, until none are. */
function joined(cubes: readonly Cube[], axis: Axis): Cube[] {
  const groups = new Map<string, Cube>();
  for (const cube of cubes) {
    const others = axisNames.filter((name) => name !== axis).map((name) => cube.sets[name].join('+'));
    const key = [cube.verdict, ...others].join(' | ');
    const known = groups.get(key);
    const sets = known && { ...known.sets, [axis]: [...known.sets[axis], ...cube.sets[axis]] };
    groups.set(key, known && sets ? { ...known, sets } : cube);
  }
  return [...groups.values()];
}

function rows(): Cube[] {
  let cubes: Cube[] = [...observations()].map((seen) => ({
    sets: Object.fromEntries(axisNames.map((name) => [name, [seen[name]]])) as unknown as Cube['sets'],
    verdict: wordsOf(judge(seen)),
  }));
  for (const axis of [...axisNames].reverse()) cubes = joined(cubes, axis);
  return cubes;
}

function cell(axis: Axis, values: readonly string[]): string {
  return values.length === axes[axis].length ? '*' : values.join(', ');
}

/** The whole page, Markdown. */
export function renderTruthTable(): string {
  const table = rows().map(({ sets, verdict }) => {
    return `| ${axisNames.map((axis) => cell(axis, sets[axis])).join(' | ')} | ${verdict} |`;
  });
  const count = [...observations()].length;
  const settled = Object.entries(verdicts).map(
    ([name, verdict]) => `| \`${name}\` | ${timeOf(name)} | ${verdict} |`,
  );
  return `# The truth table

What Nemuri believes of a server by all its witnesses together, what it says, and what it does: ${count} observations in ${table.length} rows, made from \`judge\` in libs/domain/truth.ts by \`npm run docs\`. \`*\` is every value; each observation is in exactly one row.

- **belief**: \`serves\`, \`up\` (lives and does not serve), \`down\`, \`unclear\`.
- **contradiction**: witnesses that can't all be right; confirmed after \`contradictionConfirmMs\`, it is \`ContradictionDetected\`, and \`ContradictionSettled\` when they agree again or its time is over. While it is open the server does not sleep.
- **event**: the fact that this brings to light, where it is not known already.
- **action**: \`serve\`; \`keep\` (serves on while it is settled); \`withhold\` (nothing new, a substitute is woken); \`warmUp\` (looked at as one that wakes); \`wait\` (what is under way has its own time-out); \`prove\` (probed for the proof of its sleep); \`fail\` (its sleep counts for nothing); \`none\`.

## When a contradiction is settled

| contradiction | at the latest after | and then it is held that |
|---|---|---|
${settled.join('\n')}

\`clockJump\` (a server's clock moved by \`clockJumpMs\` between two heartbeats) and \`restartStorm\` (\`restartStormBoots\` within \`restartStormWindowMs\`) are seen in time, not in one observation. In a storm a server gets no requests until it stands.

## All observations

| lifecycle | power | heartbeat | probe | traffic | belief | contradiction | event | action |
|---|---|---|---|---|---|---|---|---|
${table.join('\n')}
`;
}

function timeOf(contradiction: string): string {
  return contradiction === 'zombie' ? '`sleepProofTimeoutMs`' : '`contradictionSettleMs`';
}
