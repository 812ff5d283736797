import { readFile } from 'node:fs/promises';

/** A load series with a constant step: `rates[i]` is the mean rate over step i, in units per second. */
export interface Trace {
  readonly stepSeconds: number;
  readonly rates: readonly number[];
}

/** Seconds of the unit that a time column counts in. */
const timeColumns: Readonly<Record<string, number>> = { minute: 60, t_seconds: 1, second: 1, hour: 3_600 };
/** Whether a value column holds counts of a step, or rates per second. */
const valueColumns: Readonly<Record<string, 'count' | 'rate'>> = {
  requests: 'count',
  bits: 'count',
  passengers: 'count',
  requests_per_second: 'rate',
};

/**
 * Reads a series from CSV: a header with a time column (`minute`, `t_seconds`, …) and a value column (`requests`,
 * `bits`, `passengers` per step, or `requests_per_second`), then a row a step. Steps left out count as zero.
 * @throws Error naming the line, the rule and the value.
 */
export function parseTrace(text: string): Trace {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  const header = (lines[0] ?? '').split(',').map((name) => name.trim());
  const timeColumn = header.findIndex((name) => Object.hasOwn(timeColumns, name));
  const valueColumn = header.findIndex((name) => Object.hasOwn(valueColumns, name));
  const unitSeconds = timeColumns[header[timeColumn] ?? ''];
  const kind = valueColumns[header[valueColumn] ?? ''];
  if (unitSeconds === undefined || kind === undefined) {
    const times = Object.keys(timeColumns).join(', ');
    const values = Object.keys(valueColumns).join(', ');
    throw new Error(
      `line 1: the header must name a time (${times}) and a value (${values}); got "${lines[0] ?? ''}"`,
    );
  }
  const rows = lines.slice(1).map((line, index) => {
    const cells = line.split(',');
    const time = Number(cells[timeColumn]);
    const value = Number(cells[valueColumn]);
    if (!Number.isFinite(time) || !Number.isFinite(value) || value < 0 || cells[valueColumn]?.trim() === '') {
      throw new Error(
        `line ${index + 2}: time and value must be numbers, the value not negative; got "${line}"`,
      );
    }
    return { time, value };
  });
  return traceOf(rows, unitSeconds, kind);
}

function traceOf(
  rows: readonly { time: number; value: number }[],
  unitSeconds: number,
  kind: 'count' | 'rate',
): Trace {
  const [first, second] = rows;
  if (!first || !second) throw new Error('a load series needs at least two steps');
  const step = second.time - first.time;
  if (!(step > 0)) throw new Error(`line 3: the time must grow; got ${second.time} after ${first.time}`);
  const stepSeconds = step * unitSeconds;
  const last = rows.at(-1) ?? second;
  const rates = new Array<number>(Math.round((last.time - first.time) / step) + 1).fill(0);
  for (const { time, value } of rows) {
    const index = Math.round((time - first.time) / step);
    if (index < 0 || index >= rates.length) throw new Error(`the time must not go back; got ${time}`);
    rates[index] = kind === 'rate' ? value : value / stepSeconds;
  }
  return { stepSeconds, rates };
}

export async function readTrace(file: string): Promise<Trace> {
  try {
    return parseTrace(await readFile(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : error}`);
  }
}

export function durationSeconds(trace: Trace): number {
  return trace.rates.length * trace.stepSeconds;
}

/** Day `day` of the series, counted from 0. @throws Error when the series has no such whole day. */
export function dayOf(trace: Trace, day: number): Trace {
  const perDay = Math.round(86_400 / trace.stepSeconds);
  const rates = trace.rates.slice(day * perDay, (day + 1) * perDay);
  if (rates.length < perDay) throw new Error(`the series has no whole day ${day}`);
  return { stepSeconds: trace.stepSeconds, rates };
}

/** Means over `seconds` each, for a series whose single steps are noise at the speed it is replayed. */
export function coarsen(trace: Trace, seconds: number): Trace {
  const group = Math.max(1, Math.round(seconds / trace.stepSeconds));
  const rates: number[] = [];
  for (let index = 0; index < trace.rates.length; index += group) {
    const part = trace.rates.slice(index, index + group);
    rates.push(part.reduce((sum, rate) => sum + rate, 0) / part.length);
  }
  return { stepSeconds: trace.stepSeconds * group, rates };
}

/** The rate at `seconds` from the start, linear between the centres of the steps; held at both ends. */
export function rateAt(trace: Trace, seconds: number): number {
  const position = seconds / trace.stepSeconds - 0.5;
  const index = Math.floor(position);
  const last = trace.rates.length - 1;
  const before = trace.rates[Math.min(last, Math.max(0, index))] ?? 0;
  const after = trace.rates[Math.min(last, Math.max(0, index + 1))] ?? 0;
  return before + (after - before) * (position - index);
}
