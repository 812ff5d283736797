/** Everything `nemuri doctor` looks at; docs/operating.md has a section for each. */
export const checks = {
  config: 'the configuration',
  programs: 'programs on this machine',
  bus: 'NATS and its streams',
  services: 'the services: readiness and version',
  clocks: 'clocks of this machine, the bus and whoever publishes',
  planner: 'decisions and their lease',
  servers: 'what the history says of each server',
  wake: 'wakes that were never proven',
  bmc: 'reading each machine by its methods',
  certificates: 'certificates: of BMCs, of servers, of the proxy',
} as const;

export type Check = keyof typeof checks;

/** `error`: something does not work. `warning`: it works, and one day may not. */
export type Level = 'ok' | 'warning' | 'error';

export interface Finding {
  readonly check: Check;
  readonly level: Level;
  /** What it is about: a server, a service, a file; findings that say the same are shown as one. */
  readonly about: string;
  readonly found: string;
  /** How to mend it; a command where there is one, with NAME for what it is about. */
  readonly mend?: string;
}

export const ok = (check: Check, about: string, found: string): Finding => ({
  check,
  level: 'ok',
  about,
  found,
});
export const warning = (check: Check, about: string, found: string, mend: string): Finding => ({
  ...ok(check, about, found),
  level: 'warning',
  mend,
});
export const failure = (check: Check, about: string, found: string, mend: string): Finding => ({
  ...ok(check, about, found),
  level: 'error',
  mend,
});

const shownNames = 6;

/** Findings that say the same of several things as one, errors first. Pure. */
export function grouped(findings: readonly Finding[]): Finding[] {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings) {
    const key = [finding.level, finding.check, finding.found, finding.mend].join('\n');
    groups.set(key, [...(groups.get(key) ?? []), finding]);
  }
  const levels: readonly Level[] = ['error', 'warning', 'ok'];
  return [...groups.values()]
    .flatMap((group) => {
      const [first] = group;
      if (!first) return [];
      const names = group.map(({ about }) => about);
      const more = names.length - shownNames;
      const about = names.slice(0, shownNames).join(', ') + (more > 0 ? ` and ${more} more` : '');
      return [{ ...first, about }];
    })
    .toSorted((a, b) => levels.indexOf(a.level) - levels.indexOf(b.level));
}
