import { capabilitiesOf, type ExecMethod } from '../../../libs/events/mod.ts';
import { type ChildEnd, runChild } from './childProcess.ts';
import { checkExit, printedState, printedWatts } from './commandContract.ts';
import { type DriverDependencies, DriverError, type PowerDriver, type PowerState } from './driver.ts';
import { believed } from './meterReading.ts';
import { createSecretKeeper } from './secretKeeper.ts';

type Act = 'wake' | 'sleep' | 'forcedSleep' | 'readPower' | 'meter';

/**
 * Switches one machine by a program of the operator's own, called with its arguments and never by a shell. Its exit
 * code says how it went (`commandContract.ts`). It must be idempotent itself; NEMURI_SERVER names the server.
 */
export function createExecDriver(
  serverName: string,
  method: ExecMethod,
  deps: DriverDependencies,
): PowerDriver {
  const secrets = createSecretKeeper(serverName, deps.resolveSecret);

  async function run(act: Act, signal: AbortSignal): Promise<ChildEnd> {
    const command = method[act];
    if (!command) throw new DriverError('unsupported', `${serverName}: no command for ${act} is configured`);
    const environment: Record<string, string> = { ...method.environment, NEMURI_SERVER: serverName };
    for (const [name, reference] of Object.entries(method.secrets)) {
      environment[name] = await secrets.read(reference);
    }
    const { searchPath } = deps;
    const timeoutMs = method.commandTimeoutMs;
    const urgent = act !== 'readPower' && act !== 'meter';
    const options = { serverName, environment, searchPath, timeoutMs, urgent, signal };
    const end = await runChild(command, options);
    checkExit(end, `${serverName}: ${act}`, secrets.redact);
    return end;
  }

  async function readPower(signal: AbortSignal): Promise<PowerState> {
    return printedState(await run('readPower', signal), `${serverName}: readPower`, secrets.redact);
  }

  return {
    name: 'exec',
    capabilities: capabilitiesOf(method),
    wake: async (signal) => void (await run('wake', signal)),
    sleep: async (how, signal) => void (await run(how === 'forced' ? 'forcedSleep' : 'sleep', signal)),
    readPower,
    async meter(signal) {
      const watts = printedWatts(await run('meter', signal), `${serverName}: meter`, secrets.redact);
      const source = `exec ${method.meter?.[0] ?? ''}`;
      return believed(watts, source, method.readPower && (() => readPower(signal)));
    },
    close: async () => {},
  };
}
