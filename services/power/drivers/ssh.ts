import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { capabilitiesOf, type SshMethod } from '../../../libs/events/mod.ts';
import { type ChildEnd, runChild } from './childProcess.ts';
import { checkExit, printedState, printedWatts } from './commandContract.ts';
import {
  type DriverDependencies,
  DriverError,
  type DriverFailureKind,
  type PowerDriver,
  type PowerState,
} from './driver.ts';
import { believed } from './meterReading.ts';
import { oneLine } from './secretKeeper.ts';

/** ssh's own exit code: no connection, or it was lost (ssh(1), EXIT STATUS). */
const sshFailed = 255;

/** What the messages of OpenSSH's client mean; the first that fits, and otherwise unreachable. */
const outcomes: readonly (readonly [RegExp, DriverFailureKind])[] = [
  [
    /Permission denied|Host key verification failed|IDENTIFICATION HAS CHANGED|UNPROTECTED PRIVATE KEY|Load key|Identity file|Too many authentication failures/i,
    'unauthorized',
  ],
  [
    /no matching (host key|key exchange|cipher|mac)|Bad configuration option|kex_exchange_identification: .*invalid|banner line contains|Protocol major versions differ/i,
    'protocol',
  ],
];

/** The connection stood and broke: what a machine does that was told to go down. */
const wentDown = /closed by remote host|Timeout, server .* not responding|client_loop: send disconnect/i;

function optionsOf(method: SshMethod, knownHosts: string, alias: string): readonly string[] {
  const options = {
    BatchMode: 'yes',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: knownHosts,
    GlobalKnownHostsFile: '/dev/null',
    ...(alias ? { HostKeyAlias: alias } : {}),
    UpdateHostKeys: 'no',
    IdentitiesOnly: 'yes',
    IdentityAgent: 'none',
    PreferredAuthentications: 'publickey',
    ConnectTimeout: Math.ceil(method.connectTimeoutMs / 1_000),
    ConnectionAttempts: 1,
    ServerAliveInterval: 5,
    ServerAliveCountMax: 2,
    ControlMaster: 'no',
    ControlPath: 'none',
    ClearAllForwardings: 'yes',
    PermitLocalCommand: 'no',
    LogLevel: 'INFO',
  };
  return Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/**
 * Tells one machine by OpenSSH's client and a key: one fixed command for each act. A machine that can't be reached
 * can't be told from one that is off, so a sleep of what is off fails as `unreachable`.
 */
export function createSshDriver(
  serverName: string,
  method: SshMethod,
  deps: DriverDependencies,
): PowerDriver {
  /** Hands a file with the pinned key to ssh, which takes none by argument. */
  async function withKnownHosts<T>(use: (file: string, alias: string) => Promise<T>): Promise<T> {
    if (method.hostKey === undefined) return use(method.knownHostsFile ?? '/dev/null', '');
    const folder = await mkdtemp(join(tmpdir(), 'nemuri-ssh-'));
    try {
      const file = join(folder, 'known_hosts');
      await writeFile(file, `${serverName} ${method.hostKey}\n`);
      return await use(file, serverName);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async function run(act: string, command: string | undefined, signal: AbortSignal): Promise<ChildEnd> {
    if (command === undefined)
      throw new DriverError('unsupported', `${serverName}: no command for ${act} is configured`);
    return withKnownHosts((file, alias) => {
      const { host, port, username, keyFile } = method;
      const target = ['-i', keyFile, '-p', String(port), '-l', username, '--', host, command];
      const argv = ['ssh', '-F', 'none', '-T', ...optionsOf(method, file, alias), ...target];
      const timeoutMs = method.commandTimeoutMs;
      const urgent = act !== 'readPower' && act !== 'meter';
      return runChild(argv, { serverName, searchPath: deps.searchPath, timeoutMs, urgent, signal });
    });
  }

  function check(end: ChildEnd, act: string): void {
    if (end.exitCode !== sshFailed) {
      checkExit(end, `${serverName}: ${act}`, String);
      return;
    }
    const kind = outcomes.find(([pattern]) => pattern.test(end.stderr))?.[1] ?? 'unreachable';
    // The last lines say what it came to; before them are warnings in capitals.
    const told = end.stderr.trim().split('\n').slice(-2).join(' ');
    throw new DriverError(kind, `${serverName}: ${act} by ssh: ${oneLine(told, String)}`);
  }

  async function read(act: string, command: string | undefined, signal: AbortSignal): Promise<ChildEnd> {
    const end = await run(act, command, signal);
    check(end, act);
    return end;
  }

  async function readPower(signal: AbortSignal): Promise<PowerState> {
    const end = await read('readPower', method.readPowerCommand, signal);
    return printedState(end, `${serverName}: readPower`, String);
  }

  return {
    name: 'ssh',
    capabilities: capabilitiesOf(method),
    wake: async (signal) => void (await read('wake', method.wakeCommand, signal)),
    async sleep(how, signal) {
      const command = how === 'forced' ? method.forcedSleepCommand : method.sleepCommand;
      const end = await run(`${how} sleep`, command, signal);
      if (end.exitCode === sshFailed && wentDown.test(end.stderr)) return;
      check(end, `${how} sleep`);
    },
    readPower,
    async meter(signal) {
      const end = await read('meter', method.meterCommand, signal);
      const watts = printedWatts(end, `${serverName}: meter`, String);
      const source = `ssh ${method.host}`;
      return believed(
        watts,
        source,
        method.readPowerCommand === undefined ? undefined : () => readPower(signal),
      );
    },
    close: async () => {},
  };
}
