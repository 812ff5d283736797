import { capabilitiesOf, type IpmiMethod } from '../../../libs/events/mod.ts';
import { type ChildEnd, runChild } from './childProcess.ts';
import {
  type DriverDependencies,
  DriverError,
  type DriverFailureKind,
  type PowerDriver,
  type PowerState,
} from './driver.ts';
import { believed, wattsOf } from './meterReading.ts';
import { createSecretKeeper, oneLine } from './secretKeeper.ts';

/** What ipmitool's messages mean (completion codes of IPMI 2.0, 5.2; RAKP, 13.20); the first that fits. */
const outcomes: readonly (readonly [RegExp, DriverFailureKind])[] = [
  [
    /RAKP \d|HMAC is invalid|unauthorized name|Insufficient privilege|Invalid user ?name|Activate Session|invalid role|password/i,
    'unauthorized',
  ],
  [/not supported in present state/i, 'refused'],
  [/Node busy|Insufficient resources|Out of space|No more (slots|sessions)/i, 'busy'],
  [
    /invalid (authentication|integrity|confidentiality) algorithm|no matching cipher|does not support IPMI v2/i,
    'unsupported',
  ],
  [/Invalid command|not (supported|present|implemented)|Command illegal/i, 'unsupported'],
  [
    /Unable to establish|Auth Capabilities|Could not open socket|Address lookup|Time-?out|No response|unreachable/i,
    'unreachable',
  ],
];

/** The failure that ipmitool told of. */
export function kindOfIpmiFailure(output: string): DriverFailureKind {
  return outcomes.find(([pattern]) => pattern.test(output))?.[1] ?? 'refused';
}

// A packet is sent again after a second, so many times; both phases of a session together stay below the time-out.
const retransmits = ['-N', '1', '-R', '3'];

/**
 * Switches one machine through its BMC by IPMI, by way of ipmitool. The password goes by the environment, where
 * no other user can see it.
 */
export function createIpmiDriver(
  serverName: string,
  method: IpmiMethod,
  deps: DriverDependencies,
): PowerDriver {
  const secrets = createSecretKeeper(serverName, deps.resolveSecret);
  const lanplus = method.interface === 'lanplus' ? ['-C', String(method.cipherSuite)] : [];
  const target = ['-H', method.host, '-p', String(method.port), '-U', method.username, '-E'];
  // -v: only then it says why a session was refused.
  const common = ['ipmitool', '-v', '-I', method.interface, ...lanplus, ...target, '-L', method.privilege];

  async function run(words: readonly string[], signal: AbortSignal, urgent = false): Promise<ChildEnd> {
    const environment = { IPMI_PASSWORD: await secrets.read(method.password) };
    const { searchPath } = deps;
    const timeoutMs = method.commandTimeoutMs;
    const argv = [...common, ...retransmits, ...words];
    return runChild(argv, { serverName, environment, searchPath, timeoutMs, urgent, signal });
  }

  function failure(words: readonly string[], { exitCode, stdout, stderr }: ChildEnd): DriverError {
    const text = `${stderr}\n${stdout}`.replace(
      /^.*(PEN Registry|HPM\.x|VSO Capabilities|IPMB address).*$/gm,
      '',
    );
    const kind = exitCode === 0 ? 'protocol' : kindOfIpmiFailure(text);
    const told = oneLine(text, secrets.redact);
    return new DriverError(
      kind,
      `${serverName}: ipmitool ${words.join(' ')}: ${told || `exit code ${exitCode}`}`,
    );
  }

  async function readState(signal: AbortSignal, urgent: boolean): Promise<'on' | 'off'> {
    const words = ['chassis', 'power', 'status'];
    const end = await run(words, signal, urgent);
    const state = /^Chassis Power is (on|off)\s*$/im.exec(end.stdout)?.[1]?.toLowerCase();
    if (end.exitCode === 0 && (state === 'on' || state === 'off')) return state;
    throw failure(words, end);
  }

  async function bring(
    wanted: 'on' | 'off',
    verb: 'on' | 'soft' | 'off',
    signal: AbortSignal,
  ): Promise<void> {
    if ((await readState(signal, true)) === wanted) return;
    const words = ['chassis', 'power', verb];
    const end = await run(words, signal, true);
    if (end.exitCode === 0 && /^Chassis Power Control: /m.test(end.stdout)) return;
    const error = failure(words, end);
    // Refused because it is in that state already: then it did as told.
    if (error.kind === 'refused' && (await readState(signal, true)) === wanted) return;
    throw error;
  }

  const readPower = (signal: AbortSignal): Promise<PowerState> => readState(signal, false);

  return {
    name: 'ipmi',
    capabilities: capabilitiesOf(method),
    wake: (signal) => bring('on', 'on', signal),
    sleep: (how, signal) => bring('off', how === 'forced' ? 'off' : 'soft', signal),
    readPower,
    /** DCMI 1.5, 6.6.1 Get Power Reading; a BMC without it has no meter. */
    async meter(signal) {
      const words = ['dcmi', 'power', 'reading'];
      const end = await run(words, signal);
      const source = `DCMI power reading of ${method.host}`;
      const said = /^\s*Instantaneous power reading:\s*(\S+) Watts/im.exec(end.stdout)?.[1];
      if (end.exitCode === 0 && said !== undefined) {
        const measures = !/^\s*Power reading state is:\s*deactivated/im.test(end.stdout);
        return believed(measures ? wattsOf(said) : undefined, source, () => readPower(signal));
      }
      const error = failure(words, end);
      if (error.kind === 'unsupported')
        return { powerWatts: undefined, source: 'the BMC offers no DCMI meter' };
      throw error;
    },
    close: async () => {},
  };
}
