import { escaped } from './charts.ts';
import { processNames } from './footprint.ts';
import type { ArmName } from './options.ts';
import type { Check, RunResult } from './report.ts';
import { runName } from './report.ts';
import { type ArmResult, kWhText, modelledPercent, usedWh } from './result.ts';
import type { Parameters } from './run.ts';
import { filled, inWords, type Words } from './words.ts';

type Labels = Readonly<Record<ArmName, string>>;
interface Cell {
  readonly text: string;
  readonly kind?: 'good' | 'bad' | 'l';
}
const cell = (value: string | number, kind?: Cell['kind']): Cell => ({
  text: String(value),
  ...(kind === undefined ? {} : { kind }),
});

function tableHtml(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const [firstRow = []] = rows;
  const headCells = head
    .map((name, column) => `<th${firstRow[column]?.kind === 'l' ? ' class="l"' : ''}>${escaped(name)}</th>`)
    .join('');
  const body = rows.map(
    (row) =>
      `<tr>${row.map(({ text, kind }) => `<td${kind ? ` class="${kind}"` : ''}>${escaped(text)}</td>`).join('')}</tr>`,
  );
  return `<div class="scroll"><table><thead><tr>${headCells}</tr></thead><tbody>${body.join('')}</tbody></table></div>`;
}

const percentOf = (count: number, of: number, digits = 3) =>
  ((count / Math.max(1, of)) * 100).toFixed(digits);
const secondsPerDay = 86_400;

export function figuresTable(
  run: RunResult,
  arms: readonly ArmResult[],
  words: Words,
  labels: Labels,
): string {
  const { columns } = words;
  const { alwaysOn } = run.arms;
  const baseWh = alwaysOn && usedWh(alwaysOn);
  const plusMinus = (arm: ArmResult) => (arm.errorWh === undefined ? '' : ` ± ${kWhText(arm.errorWh, arm)}`);
  const rows: readonly (readonly [string, (arm: ArmResult) => Cell])[] = [
    [columns.energy, (arm) => cell(`${kWhText(usedWh(arm), arm)}${plusMinus(arm)}`)],
    [`${words.control}, kWh`, (arm) => cell((arm.controlWh / 1_000).toFixed(3))],
    [
      columns.saved,
      (arm) =>
        cell(
          baseWh && arm.arm !== 'alwaysOn'
            ? ((1 - (usedWh(arm) + arm.controlWh) / baseWh) * 100).toFixed(1)
            : '–',
        ),
    ],
    [
      columns.ledger,
      (arm) => {
        const off = arm.ledgerErrorPercent;
        if (off === undefined) return cell(modelledPercent(arm).toFixed(0));
        return cell(off.toFixed(2), Math.abs(off) <= 1 ? 'good' : 'bad');
      },
    ],
    [columns.requests, (arm) => cell(arm.requests.toLocaleString('en-US'))],
    [columns.failed, (arm) => cell(arm.failed, arm.failed === 0 ? 'good' : 'bad')],
    [columns.late, (arm) => cell(percentOf(arm.late, arm.requests))],
    [columns.short, (arm) => cell(percentOf(arm.short, arm.requests))],
    [columns.parked, (arm) => cell(arm.parked.toLocaleString('en-US'))],
    [columns.p50, (arm) => cell(arm.latencyMs.p50)],
    [columns.p99, (arm) => cell(arm.latencyMs.p99)],
    [columns.p999, (arm) => cell(arm.latencyMs.p999)],
    [columns.max, (arm) => cell(arm.latencyMs.max)],
    [columns.wakes, (arm) => cell(arm.wakes)],
    [columns.sleeps, (arm) => cell(arm.sleeps)],
    [
      columns.cycles,
      (arm) => cell((arm.wakes / Object.keys(arm.servers).length / (arm.seconds / secondsPerDay)).toFixed(2)),
    ],
    [columns.lag, (arm) => cell(arm.maxSendLagMs)],
    [columns.cores, (arm) => cell(arm.controlCores.toFixed(3))],
  ];
  return tableHtml(
    [words.armColumn, ...arms.map(({ arm }) => labels[arm])],
    rows.map(([name, of]) => [cell(name), ...arms.map(of)]),
  );
}

export function machinesTable(
  { parameters }: RunResult,
  arms: readonly ArmResult[],
  words: Words,
  labels: Labels,
): string {
  const shown = arms.filter(({ arm }) => arm !== 'alwaysOn');
  const names = Object.keys(shown[0]?.servers ?? {}).slice(0, parameters.servers);
  return tableHtml(
    [
      words.columns.server,
      ...shown.flatMap(({ arm }) => [
        `${labels[arm]}: ${words.columns.wakes}`,
        words.columns.sleeps,
        words.columns.energy,
      ]),
    ],
    names.map((name) => [
      cell(name),
      ...shown.flatMap((arm) => {
        const server = arm.servers[name] ?? { wakes: 0, sleeps: 0 };
        return [cell(server.wakes), cell(server.sleeps), cell(kWhText(usedWh(server), arm))];
      }),
    ]),
  );
}

export function faultsTable(
  { parameters }: RunResult,
  arms: readonly ArmResult[],
  words: Words,
  labels: Labels,
): string {
  if (!parameters.faults) return `<p class="note">${escaped(words.faultsNone)}</p>`;
  const { columns } = words;
  const rows = arms
    .filter(({ arm }) => arm !== 'alwaysOn')
    .flatMap((arm) =>
      arm.faults.map((fault) => [
        cell(labels[arm.arm]),
        cell(filled(words.onDay, { day: (fault.second / secondsPerDay).toFixed(2) })),
        cell(fault.target, 'l'),
        cell(inWords(words, fault.what), 'l'),
        fault.recoveredMs === null
          ? cell(words.never, 'bad')
          : cell(`${(fault.recoveredMs / 1_000).toFixed(1)} ${words.seconds}`),
        cell(fault.failed, fault.failed === 0 ? 'good' : 'bad'),
        cell(fault.late),
      ]),
    );
  const head = [
    words.armColumn,
    columns.at,
    columns.target,
    columns.what,
    columns.recovered,
    columns.failed,
    columns.lateCount,
  ];
  return `<p class="note">${escaped(words.faultsNote)}</p>${tableHtml(head, rows)}`;
}

export function leaksTable(arm: ArmResult | undefined, words: Words): string {
  if (!arm) return '';
  const { columns, verdicts } = words;
  return tableHtml(
    [words.armColumn, columns.first, columns.last, columns.verdict],
    arm.leaks.map(({ of, unit, from, to, verdict }) => [
      cell(inWords(words, of)),
      cell(`${from} ${unit}`),
      cell(`${to} ${unit}`),
      cell(verdicts[verdict], verdict === 'grows' ? 'bad' : verdict === 'flat' ? 'good' : undefined),
    ]),
  );
}

export function checksTable(checks: readonly Check[], words: Words): string {
  const { columns } = words;
  return tableHtml(
    [words.armColumn, columns.rule, columns.value, columns.verdict],
    checks.map(({ run, rule, value, holds }) => [
      cell(run),
      cell(inWords(words, rule), 'l'),
      cell(Number(value.toFixed(3))),
      cell(holds ? words.holds : words.broken, holds ? 'good' : 'bad'),
    ]),
  );
}

function conditionsOf({ own, ...parameters }: Parameters): (readonly [string, string])[] {
  const rows = Object.entries(parameters).map(([name, value]) => [name, String(value)] as const);
  if (!own) return rows;
  const { servers, ...rest } = own;
  return [
    ...rows,
    ...Object.entries(rest).map(([name, value]) => [name, String(value)] as const),
    ...Object.entries(servers).map(
      ([name, { capacityRps, energy, wakesBy, sleepsBy, metersBy }]) =>
        [
          name,
          `${capacityRps}/s · ${energy.offWatts}/${energy.idleWatts}/${energy.busyWatts} W · wake ${wakesBy.join(', ')} · sleep ${sleepsBy.join(', ')} · meter ${metersBy.join(', ') || '–'}`,
        ] as const,
    ),
  ];
}

export function conditionsTable({ parameters, conditions, arms }: RunResult, words: Words): string {
  const nemuri = arms.nemuri;
  const rows: (readonly [string, string])[] = [
    ...conditionsOf(parameters),
    ...conditions.flatMap((one) => [
      [
        words.columns.commit,
        `${one.commit} · Node ${one.node} · nats-server ${one.natsServer} · Linux ${one.kernel} · ${one.cores} × ${one.processor} · ${one.memoryGiB} GiB · ${one.scheduling} · ${one.at}`,
      ] as const,
    ]),
    ...(nemuri
      ? [
          [
            words.control,
            processNames
              .map(
                (name) =>
                  `${name} ${(nemuri.cpuCores[name] * 100).toFixed(1)} % / ${nemuri.residentMiB[name].toFixed(0)} MiB`,
              )
              .join(' · '),
          ] as const,
        ]
      : []),
  ];
  return tableHtml(
    [runName(parameters), ''],
    rows.map(([name, value]) => [cell(name), cell(value, 'l')]),
  );
}
