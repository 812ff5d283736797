import type { Fleet } from '../../libs/domain/mod.ts';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { adminPorts } from '../../libs/runtime/service.ts';

const askTimeoutMs = 2_000;
const services = ['proxy', 'planner', 'power', 'health', 'console'] as const;

/** What of a fleet says which machines it has. */
type Told = Pick<Fleet, 'config'>;

/**
 * Services of Nemuri on this machine, at their usual admin addresses, that have one of these servers in their fleet.
 * What runs elsewhere, or at other addresses, can't be seen.
 * @returns each with the servers that are theirs too.
 */
export async function whoUses(config: FleetConfig, ports = usualPorts()): Promise<string[]> {
  const found = await Promise.all(
    Object.entries(ports).map(async ([service, port]) => {
      const told = await fleetAt(`http://127.0.0.1:${port}/fleet`);
      const shared = told ? sharedServers(config, told) : [];
      return shared.length === 0 ? [] : [`${service} on port ${port} (${shared.join(', ')})`];
    }),
  );
  return found.flat();
}

function usualPorts(): Record<string, number> {
  return Object.fromEntries(services.map((name) => [name, adminPorts[name] ?? 0]));
}

async function fleetAt(url: string): Promise<Told | undefined> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(askTimeoutMs) });
    return answer.ok ? ((await answer.json()) as Told) : undefined;
  } catch {
    return undefined;
  }
}

/** Our servers that are in that fleet too, by whatever name: the same address. */
function sharedServers({ servers }: FleetConfig, told: Told): string[] {
  const theirs = Object.values(told.config?.servers ?? {}).map(({ url }) => url);
  return Object.entries(servers).flatMap(([name, { url }]) => (theirs.includes(url) ? [name] : []));
}
