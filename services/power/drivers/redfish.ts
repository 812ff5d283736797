import { capabilitiesOf, type RedfishMethod } from '../../../libs/events/mod.ts';
import { type DriverDependencies, DriverError, type PowerDriver, type PowerState } from './driver.ts';
import { createConnection } from './httpConnection.ts';
import { createMeter } from './redfishMeter.ts';
import { type JsonObject, linkOf, RedfishError } from './redfishOutcome.ts';
import {
  allowedByActionInfo,
  chooseResetType,
  isPaused,
  type ResetAction,
  type ResetType,
  readPowerState,
  resetActionOf,
  type Wish,
} from './redfishReset.ts';
import { RedfishTransport } from './redfishTransport.ts';
import { codeOf } from './secretKeeper.ts';

/** Bounds of the driver that no operator needs to set. */
export interface RedfishLimits {
  readonly maxBodyBytes: number;
  readonly maxRedirects: number;
  /** Sockets to one BMC: they are small computers. */
  readonly maxConnections: number;
  readonly taskPollMs: number;
  readonly loginRetryMs: number;
  readonly meterSearchIntervalMs: number;
  readonly closeTimeoutMs: number;
}

export const defaultRedfishLimits: RedfishLimits = {
  maxBodyBytes: 1024 * 1024,
  maxRedirects: 3,
  maxConnections: 4,
  taskPollMs: 1_000,
  loginRetryMs: 30_000,
  meterSearchIntervalMs: 600_000,
  closeTimeoutMs: 2_000,
};

export interface RedfishDependencies extends DriverDependencies {
  readonly limits?: Partial<RedfishLimits>;
}

// Of the systems of a rack manager, in an error message.
const maxListed = 20;

// Where the wish is fulfilled already. A forced sleep is for a machine that hangs in poweringOff.
const fulfilled: Record<Wish, readonly PowerState[]> = {
  wake: ['on', 'poweringOn'],
  graceful: ['off', 'poweringOff'],
  forced: ['off'],
};

function isFulfilled(wish: Wish, system: JsonObject): boolean {
  if (wish === 'wake' && isPaused(system)) return false;
  return fulfilled[wish].includes(readPowerState(system.PowerState));
}

/** The Redfish client of one BMC; opens nothing before its first call. */
export function openTransport(
  serverName: string,
  method: RedfishMethod,
  deps: RedfishDependencies,
  limits: RedfishLimits,
) {
  const { origin } = new URL(method.url);
  const { tls, requestTimeoutMs, taskTimeoutMs, username } = method;
  const connection = createConnection({
    serverName,
    protocol: 'redfish',
    origin,
    tls,
    requestTimeoutMs,
    ...limits,
  });
  async function password(): Promise<string> {
    try {
      return await deps.resolveSecret(method.password);
    } catch (error) {
      // Its message could hold a part of what it read.
      const text = `${serverName}: the password ${method.password} can't be read (${codeOf(error)})`;
      throw new DriverError('unauthorized', text);
    }
  }
  return new RedfishTransport(
    { serverName, origin, username, taskTimeoutMs, ...limits },
    { connection, password, now: deps.now },
  );
}

/** Finds the system that the driver switches, and remembers its id until the BMC says 404. */
function createSystemReader(serverName: string, systemId: string | undefined, client: RedfishTransport) {
  let remembered: string | undefined;

  async function find(): Promise<string> {
    const ids = await client.getAvailableSystemIds();
    const listed = ids.slice(0, maxListed).join(', ');
    if (systemId !== undefined) {
      if (ids.includes(systemId)) return systemId;
      throw new DriverError(
        'refused',
        `${serverName}: the BMC has no system "${systemId}"; it has: ${listed}`,
      );
    }
    const [only] = ids;
    if (ids.length === 1 && only) return only;
    throw new DriverError(
      'refused',
      `${serverName}: the BMC has several systems, set systemId to one of: ${listed}`,
    );
  }

  return async function read(): Promise<{ id: string; system: JsonObject }> {
    if (remembered !== undefined) {
      try {
        return { id: remembered, system: await client.getSystemInfo(remembered, true) };
      } catch (error) {
        if (!(error instanceof RedfishError) || error.status !== 404) throw error;
        remembered = undefined;
      }
    }
    const id = await find();
    const system = await client.getSystemInfo(id, true);
    remembered = id;
    return { id, system };
  };
}

function reset(client: RedfishTransport, id: string, action: ResetAction, type: ResetType): Promise<unknown> {
  switch (type) {
    case 'On':
      return client.powerOnSystem(id);
    case 'GracefulShutdown':
      return client.shutdownSystem(id);
    case 'ForceOff':
      return client.forceOffSystem(id);
    default:
      return client.act(action.target, { ResetType: type });
  }
}

/**
 * Switches one machine through its BMC by Redfish (DMTF DSP0266), by way of redfish-client. Opens nothing before
 * the first call. Methods reject with DriverError, or with the reason of their signal.
 */
export function createRedfishDriver(
  serverName: string,
  method: RedfishMethod,
  deps: RedfishDependencies,
): PowerDriver {
  const limits = { ...defaultRedfishLimits, ...deps.limits };
  const client = openTransport(serverName, method, deps, limits);
  const readSystem = createSystemReader(serverName, method.systemId, client);

  async function readPower(): Promise<PowerState> {
    return readPowerState((await readSystem()).system.PowerState);
  }

  async function allowedTypes(action: ResetAction): Promise<readonly string[]> {
    if (action.allowed.length > 0 || action.actionInfo === undefined) return action.allowed;
    try {
      return allowedByActionInfo(await client.resource(action.actionInfo));
    } catch (error) {
      // Some BMCs name a list that they don't have: then the standard's default.
      if (error instanceof RedfishError && error.status === 404) return [];
      throw error;
    }
  }

  async function bring(wish: Wish): Promise<void> {
    const { id, system } = await readSystem();
    if (isFulfilled(wish, system)) return;
    const state = readPowerState(system.PowerState);
    const paused = isPaused(system);
    const action = resetActionOf(system);
    if (!action)
      throw new DriverError('unsupported', `${serverName}: the system offers no ComputerSystem.Reset`);
    const allowed = await allowedTypes(action);
    const type = chooseResetType(wish, state, paused, allowed);
    if (!type)
      throw new DriverError(
        'unsupported',
        `${serverName}: ${wish} in state ${state}: only ${allowed.join(', ')}`,
      );
    // A button pressed at the wrong moment does the opposite.
    if (type === 'PushPowerButton' && (await readPower()) !== state)
      throw new DriverError('busy', `${serverName}: the power state changed before the button was pressed`);
    try {
      await reset(client, id, action, type);
    } catch (error) {
      if (!(error instanceof DriverError) || error.kind !== 'refused') throw error;
      // Refused because it is in that state already: then it did as told.
      if (!isFulfilled(wish, (await readSystem()).system)) throw error;
    }
  }

  const meter = createMeter({
    get: (path) => client.resource(path),
    readSystem: async () => {
      const { id, system } = await readSystem();
      return linkOf(system) === undefined ? { ...system, '@odata.id': `/redfish/v1/Systems/${id}` } : system;
    },
    readPower,
    now: deps.now,
    searchIntervalMs: limits.meterSearchIntervalMs,
  });

  async function run<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    try {
      signal.throwIfAborted();
      return await client.within(signal, call);
    } catch (error) {
      if (signal.aborted || error instanceof DriverError) throw error;
      // redfish-client says in plain Errors that an answer lacks something.
      const text = error instanceof Error ? error.message : 'an answer lacks what it must have';
      throw new DriverError('protocol', client.redact(`${serverName}: ${text}`));
    }
  }

  return {
    name: 'redfish',
    capabilities: capabilitiesOf(method),
    wake: (signal) => run(signal, () => bring('wake')),
    sleep: (how, signal) => run(signal, () => bring(how)),
    readPower: (signal) => run(signal, readPower),
    meter: (signal) => run(signal, meter),
    close: () => client.closeSession(),
  };
}
