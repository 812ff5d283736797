import { setTimeout as pause } from 'node:timers/promises';
import snmp, { type Session, type User, type Varbind } from 'net-snmp';
import { capabilitiesOf, type PduMethod } from '../../../libs/events/mod.ts';
import {
  type DriverDependencies,
  DriverError,
  type DriverFailureKind,
  type PowerDriver,
  type PowerState,
} from './driver.ts';
import { believed, powerOfOutlet, wattsOf } from './meterReading.ts';
import { createSecretKeeper, oneLine } from './secretKeeper.ts';

/** What an agent's error-status means (RFC 3416, 3); all others: refused. */
const kindsByStatus: Readonly<Record<number, DriverFailureKind>> = {
  4: 'unauthorized', // readOnly
  6: 'unauthorized', // noAccess
  13: 'busy', // resourceUnavailable
  16: 'unauthorized', // authorizationError
  17: 'unauthorized', // notWritable
};

function kindOf(error: Error): DriverFailureKind {
  if (error instanceof snmp.RequestTimedOutError) return 'unreachable';
  if (error instanceof snmp.RequestFailedError) return kindsByStatus[error.status] ?? 'refused';
  if (error instanceof snmp.ResponseInvalidError) {
    const { EAuthFailure, ECouldNotDecrypt } = snmp.ResponseInvalidCode;
    return error.code === EAuthFailure || error.code === ECouldNotDecrypt ? 'unauthorized' : 'protocol';
  }
  return 'unreachable';
}

function describe(error: unknown): string {
  // That message shows what was calculated from the key.
  const digest =
    error instanceof snmp.ResponseInvalidError && error.message.startsWith('Authentication digest');
  if (digest) return 'the authentication digest does not match';
  return error instanceof Error ? error.message : 'failed';
}

const retries = 2;

/**
 * Switches one outlet of a PDU by SNMP. It cuts hard, and takes the BMC with it: it sleeps only with `allowSleep`,
 * and a machine that draws power is never cut to wake it. SNMP v2c agents do not answer a wrong community.
 */
export function createPduDriver(
  serverName: string,
  method: PduMethod,
  deps: DriverDependencies,
): PowerDriver {
  const secrets = createSecretKeeper(serverName, deps.resolveSecret);
  const at = `${method.host} outlet ${method.outletOid}`;

  async function open(): Promise<Session> {
    const { host, port, requestTimeoutMs } = method;
    const timeout = Math.max(1, Math.floor(requestTimeoutMs / (retries + 1)));
    const options = { port, retries, timeout, reportOidMismatchErrors: true };
    if (method.user) return snmp.createV3Session(host, await userOf(method.user), options);
    const community = await secrets.read(method.community ?? '');
    return snmp.createSession(host, community, { ...options, version: snmp.Version2c });
  }

  async function userOf(user: NonNullable<PduMethod['user']>): Promise<User> {
    const { name, authProtocol, privProtocol } = user;
    const authKey = await secrets.read(user.authKey);
    const auth = { name, authProtocol: snmp.AuthProtocols[authProtocol] ?? 0, authKey };
    if (user.privKey === undefined) return { ...auth, level: snmp.SecurityLevel.authNoPriv };
    const privKey = await secrets.read(user.privKey);
    const privacy = { privProtocol: snmp.PrivProtocols[privProtocol] ?? 0, privKey };
    return { ...auth, ...privacy, level: snmp.SecurityLevel.authPriv };
  }

  async function exchange(oid: string, value: number | undefined, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const session = await open();
    let rubbish = false;
    session.on('error', () => {
      rubbish = true;
    });
    let onAbort = () => {};
    try {
      const varbinds = await new Promise<readonly Varbind[]>((resolve, reject) => {
        onAbort = () => reject(signal.reason);
        signal.addEventListener('abort', onAbort, { once: true });
        const respond = (error: Error | null, answer: readonly Varbind[] = []) =>
          error ? reject(error) : resolve(answer);
        const type = snmp.ObjectType.Integer ?? 2;
        if (value === undefined) session.get([oid], respond);
        else session.set([{ oid, type, value }], respond);
      });
      return integerIn(varbinds, oid);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof DriverError) throw error;
      const kind = rubbish ? 'protocol' : error instanceof Error ? kindOf(error) : 'unreachable';
      const text = rubbish ? 'answers what is no SNMP' : describe(error);
      throw new DriverError(kind, `${serverName}: PDU ${method.host}: ${oneLine(text, secrets.redact)}`);
    } finally {
      signal.removeEventListener('abort', onAbort);
      session.close();
    }
  }

  function integerIn([varbind]: readonly Varbind[], oid: string): number {
    if (!varbind || snmp.isVarbindError(varbind))
      throw new DriverError('refused', `${serverName}: PDU ${method.host} has no ${oid}`);
    const watts = Number.isInteger(varbind.value) ? Number(varbind.value) : wattsOf(String(varbind.value));
    if (watts !== undefined) return watts;
    throw new DriverError('protocol', `${serverName}: PDU ${method.host}: ${oid} is no number`);
  }

  async function readOutlet(signal: AbortSignal): Promise<'on' | 'off'> {
    const value = await exchange(dotless(method.outletOid), undefined, signal);
    if (value === method.onValue) return 'on';
    if (value === method.offValue) return 'off';
    throw new DriverError('protocol', `${serverName}: PDU ${at} is ${value}, neither onValue nor offValue`);
  }

  async function readWatts(signal: AbortSignal): Promise<number | undefined> {
    if (method.wattsOid === undefined) return undefined;
    const value = await exchange(dotless(method.wattsOid), undefined, signal);
    return value < 0 ? undefined : value * method.wattsFactor;
  }

  async function readPower(signal: AbortSignal): Promise<PowerState> {
    const outlet = await readOutlet(signal);
    const needsWatts = outlet === 'on' && method.onAboveWatts !== undefined;
    return powerOfOutlet(outlet, needsWatts ? await readWatts(signal) : undefined, method.onAboveWatts);
  }

  const switchTo = (value: number, signal: AbortSignal) => exchange(dotless(method.outletOid), value, signal);

  async function wake(signal: AbortSignal): Promise<void> {
    if ((await readOutlet(signal)) === 'off') return void (await switchTo(method.onValue, signal));
    if (!method.cycle || (await readPower(signal)) !== 'off') return;
    try {
      await switchTo(method.offValue, signal);
      await pause(method.cycleOffMs, undefined, { signal });
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      // Whoever cancels, and whatever fails: what may have been cut gets its power back.
      await switchTo(method.onValue, new AbortController().signal);
    }
  }

  return {
    name: 'pdu',
    capabilities: capabilitiesOf(method),
    wake,
    async sleep(_how, signal) {
      if (!method.allowSleep)
        throw new DriverError(
          'unsupported',
          `${serverName}: the PDU may not cut the outlet without allowSleep`,
        );
      if ((await readOutlet(signal)) === 'on') await switchTo(method.offValue, signal);
    },
    readPower,
    async meter(signal) {
      const source = `PDU ${method.host} ${method.wattsOid ?? ''}`;
      return believed(await readWatts(signal), source, () => readPower(signal));
    },
    close: async () => {},
  };
}

function dotless(oid: string): string {
  return oid.replace(/^\./, '');
}
