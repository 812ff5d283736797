import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { readCertificate } from '../../libs/runtime/certificate.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { ReadAllMessage } from '../../libs/runtime/powerTest.ts';
import { adminPorts } from '../../libs/runtime/service.ts';
import type { Cli } from '../cli.ts';
import { runPowerJob } from '../serviceJob.ts';
import { type Finding, failure, ok, warning } from './finding.ts';
import type { ClockSample } from './judgeClocks.ts';

/** What is looked at outside of the bus. Nothing here changes anything. */

const dayMs = 86_400_000;
/** A certificate with less left should be renewed by now. */
const renewBeforeMs = 30 * dayMs;
const maxConcurrentLooks = 16;

const programs: Readonly<Record<string, { readonly program: string; readonly install: string }>> = {
  ipmi: { program: 'ipmitool', install: 'apt-get install ipmitool' },
  ssh: { program: 'ssh', install: 'apt-get install openssh-client' },
};

/** Node's version, and the programs that the methods of this configuration run. */
export function programFindings(config: FleetConfig | undefined, env: Cli['env']): Finding[] {
  const folders = [...(env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const drivers = new Set(
    Object.values(config?.servers ?? {}).flatMap(({ power }) => power.map(({ driver }) => driver)),
  );
  const needed = Object.entries(programs).filter(([driver]) => drivers.has(driver as never));
  return [
    ok('programs', 'node', process.version),
    ...needed.map(([driver, { program, install }]) =>
      folders.some((folder) => existsSync(join(folder, program)))
        ? ok('programs', program, 'is installed')
        : failure('programs', program, `is missing, and the driver ${driver} runs it`, install),
    ),
  ];
}

/** Readiness and version of each service by its admin address, and its clock. */
export async function serviceFindings(
  addresses: readonly string[],
  ourVersion: string,
  timeoutMs: number,
  nowMs: () => number,
): Promise<{ findings: Finding[]; clocks: ClockSample[] }> {
  const usual = addresses.length === 0;
  const serviceNames = ['proxy', 'planner', 'power', 'health'];
  const asked = usual ? serviceNames.map((name) => `127.0.0.1:${adminPorts[name]}`) : addresses;
  const clocks: ClockSample[] = [];
  const findings = await Promise.all(
    asked.map(async (address, index): Promise<Finding[]> => {
      const about = usual ? `${serviceNames[index]} (${address})` : address;
      try {
        const sentMs = nowMs();
        const alive = (await ask(`http://${address}/healthz`, timeoutMs)) as {
          service?: string;
          version?: string;
          timeMs?: number;
        };
        const who = `${alive.service ?? 'service'} at ${address}`;
        if (typeof alive.timeMs === 'number')
          clocks.push({ who, skewMs: alive.timeMs - (sentMs + nowMs()) / 2 });
        const ready = (await ask(`http://${address}/readyz`, timeoutMs)) as { why?: string };
        return [
          ready.why === undefined
            ? ok('services', about, `ready, version ${alive.version}`)
            : failure(
                'services',
                about,
                `not ready: ${ready.why}`,
                'see its log; the reason names what it waits for',
              ),
          ...(alive.version === ourVersion
            ? []
            : [
                warning(
                  'services',
                  about,
                  `version ${alive.version ?? 'unknown'}, and this command is ${ourVersion}`,
                  'bring all services to one version: docs/operating.md, Upgrade',
                ),
              ]),
        ];
      } catch (error) {
        const elsewhere = usual ? '; if it runs elsewhere: --admin HOST:PORT' : '';
        const mend = `start it: nemuri up -c FILE, or its unit${elsewhere}`;
        return [failure('services', about, `does not answer: ${messageOf(error)}`, mend)];
      }
    }),
  );
  return { findings: findings.flat(), clocks };
}

async function ask(url: string, timeoutMs: number): Promise<unknown> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) }).catch((error) => {
    // `fetch failed` hides why.
    const { cause } = error as { cause?: { message?: string } };
    throw new Error(cause?.message ?? messageOf(error), { cause: error });
  });
  return answer.json();
}

/** Each server read by each of its methods, in a process of the power service. */
export async function bmcFindings(cli: Cli, config: FleetConfig): Promise<Finding[]> {
  const servers = Object.keys(config.servers).filter((name) => config.servers[name]?.power.length);
  if (servers.length === 0) return [];
  const failed = new Map<string, Set<string>>();
  const read = new Set<string>();
  await runPowerJob<ReadAllMessage>(cli, 'readAll.js', { servers, config }, (message) => {
    if (message.kind !== 'step') return;
    const { server, step } = message;
    if (step.step !== 'reads' && step.step !== 'meters') return;
    if (step.ok) read.add(server);
    else failed.set(server, (failed.get(server) ?? new Set()).add(`${step.driver ?? ''}: ${step.detail}`));
  });
  return servers.flatMap((server) => {
    const problems = [...(failed.get(server) ?? [])];
    if (problems.length > 0) {
      const mend =
        'docs/operating.md, A BMC can not be read; tried alone: nemuri power test -c FILE --server NAME';
      return problems.map((problem) => failure('bmc', server, problem, mend));
    }
    return [
      read.has(server)
        ? ok('bmc', server, 'can be read')
        : warning(
            'bmc',
            server,
            'none of its methods reads its power',
            'docs/power.md; until then it is inferred from probes',
          ),
    ];
  });
}

/** Certificates that BMCs and servers show, and those in files of ours. */
export async function certificateFindings(
  config: FleetConfig | undefined,
  files: readonly string[],
  timeoutMs: number,
  nowMs: number,
): Promise<Finding[]> {
  const urls = new Set<string>();
  const insecure: Finding[] = [];
  for (const [name, { url, power }] of Object.entries(config?.servers ?? {})) {
    if (url.startsWith('https:')) urls.add(url);
    for (const method of power) {
      if (method.driver !== 'redfish' && method.driver !== 'http') continue;
      if (method.url.startsWith('https:')) urls.add(method.url);
      if (method.tls?.insecure)
        insecure.push(
          warning(
            'certificates',
            name,
            'tls.insecure: any certificate gets its password',
            'pin it: tls.fingerprint256, as nemuri init writes it',
          ),
        );
    }
  }
  const waiting = [...urls];
  const findings: Finding[] = [...insecure];
  const work = async () => {
    for (let url = waiting.shift(); url !== undefined; url = waiting.shift()) {
      // Nobody there is a finding of others: of the BMCs, or of the servers that may sleep.
      const seen = await readCertificate(url, timeoutMs).catch(() => undefined);
      if (seen) findings.push(endFinding(url, seen.endsAtMs, nowMs));
    }
  };
  await Promise.all(Array.from({ length: maxConcurrentLooks }, work));
  for (const file of files) {
    try {
      const endsAtMs = Date.parse(new X509Certificate(await readFile(file)).validTo);
      findings.push(endFinding(file, endsAtMs, nowMs));
    } catch (error) {
      findings.push(failure('certificates', file, messageOf(error), 'name a PEM file with a certificate'));
    }
  }
  return findings;
}

export function endFinding(about: string, endsAtMs: number, nowMs: number): Finding {
  const days = Math.floor((endsAtMs - nowMs) / dayMs);
  const mend = 'renew it; a pinned fingerprint256 changes with it';
  if (endsAtMs <= nowMs)
    return failure('certificates', about, `its certificate ended ${-days} days ago`, mend);
  const found = `its certificate ends in ${days} days`;
  return endsAtMs - nowMs < renewBeforeMs
    ? warning('certificates', about, found, mend)
    : ok('certificates', about, found);
}
