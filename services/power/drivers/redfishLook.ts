import type { RedfishMethod } from '../../../libs/events/mod.ts';
import type { BmcAddress, BmcFound, BmcSystem } from '../../../libs/runtime/bmcLook.ts';
import { messageOf } from '../../../libs/runtime/errors.ts';
import { defaultRedfishLimits, openTransport, type RedfishDependencies } from './redfish.ts';
import { createMeter } from './redfishMeter.ts';
import { type JsonObject, linkOf, objectsOf, textOf } from './redfishOutcome.ts';
import { allowedByActionInfo, readPowerState, resetActionOf } from './redfishReset.ts';
import type { RedfishTransport } from './redfishTransport.ts';

/** Network cards of one machine that are read at most. */
const maxCards = 8;

/** Reads what machines are behind a BMC. Changes nothing. Never rejects. */
export async function lookAtBmc(
  { url, username, password, fingerprint256 }: BmcAddress,
  deps: RedfishDependencies,
  timeoutMs: number,
): Promise<BmcFound> {
  let client: RedfishTransport | undefined;
  try {
    const pinned = fingerprint256 === undefined ? {} : { tls: { fingerprint256 } };
    const times = { requestTimeoutMs: timeoutMs, taskTimeoutMs: timeoutMs };
    const method = { url, username, password, ...times, ...pinned } as RedfishMethod;
    const transport = openTransport(new URL(url).host, method, deps, defaultRedfishLimits);
    client = transport;
    const systems = await transport.within(AbortSignal.timeout(timeoutMs), () =>
      readSystems(transport, deps),
    );
    return { url, systems };
  } catch (error) {
    return { url, problem: client?.redact(messageOf(error)) ?? messageOf(error) };
  } finally {
    await client?.closeSession().catch(() => undefined);
  }
}

async function readSystems(client: RedfishTransport, deps: RedfishDependencies): Promise<BmcSystem[]> {
  const systems: BmcSystem[] = [];
  // One after the other: BMCs are small computers.
  for (const id of await client.getAvailableSystemIds()) {
    const system: JsonObject = await client.getSystemInfo(id, true);
    const readPower = async () => readPowerState(system.PowerState);
    const meter = createMeter({
      get: (path) => client.resource(path),
      readSystem: async () => ({ '@odata.id': `/redfish/v1/Systems/${id}`, ...system }),
      readPower,
      now: deps.now,
      searchIntervalMs: defaultRedfishLimits.meterSearchIntervalMs,
    });
    const { powerWatts } = await meter().catch(() => ({ powerWatts: undefined }));
    const hostName = textOf(system.HostName);
    const model = [textOf(system.Manufacturer), textOf(system.Model)].filter(Boolean).join(' ');
    systems.push({
      id,
      powerState: await readPower(),
      macs: await macsOf(client, system),
      resetTypes: await resetTypesOf(client, system),
      ...(hostName ? { hostName } : {}),
      ...(model ? { model } : {}),
      ...(powerWatts === undefined ? {} : { powerWatts }),
    });
  }
  return systems;
}

/** What a BMC lacks or can't say is no reason to know nothing of its machine. */
async function macsOf(client: RedfishTransport, system: JsonObject): Promise<string[]> {
  const path = linkOf(system.EthernetInterfaces);
  if (path === undefined) return [];
  const macs: string[] = [];
  try {
    const { Members } = await client.resource(path);
    for (const member of objectsOf(Members).slice(0, maxCards)) {
      const link = linkOf(member);
      const card = link === undefined ? member : await client.resource(link);
      const mac = textOf(card.PermanentMACAddress) ?? textOf(card.MACAddress) ?? '';
      if (/^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$/.test(mac) && !/^(00[:-]?){6}$/.test(mac)) macs.push(mac);
    }
  } catch {
    // Links that lead to nothing are common.
  }
  return [...new Set(macs)];
}

async function resetTypesOf(client: RedfishTransport, system: JsonObject): Promise<readonly string[]> {
  const action = resetActionOf(system);
  if (!action || action.allowed.length > 0 || action.actionInfo === undefined) return action?.allowed ?? [];
  return client.resource(action.actionInfo).then(allowedByActionInfo, () => []);
}
