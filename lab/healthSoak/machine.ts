import { createServer } from 'node:http';
import { createBmc } from '../rack/bmc.ts';
import { type BmcServer, createBmcServer } from '../rack/bmcServer.ts';
import type { RackCertificate } from '../rack/certificate.ts';
import { createFaultTable, type FaultTable } from '../rack/faults.ts';
import { evolve, type MachineInput, type MachineState, nextDueMs, type ResetType } from '../rack/machine.ts';
import { defaultModel, machineModels } from '../rack/models.ts';
import { listenOnFreePair } from '../rack/ports.ts';

/** How the web server of a machine answers: as it should, with 500, not at all, or not to the prober. */
export type Answers = 'well' | 'badly' | 'never' | 'notToProber';

/**
 * A machine of the soak: the rack's BMC over HTTPS and its state machine, with a web server in this process, so that
 * many fit on a small computer. The truth about it is here.
 */
export interface SoakMachine {
  readonly name: string;
  readonly bmcUrl: string;
  readonly originUrl: string;
  readonly faults: FaultTable;
  answers: Answers;
  /** Its agent speaks while its system is up. */
  agentSpeaks: boolean;
  wish: 'ready' | 'drain';
  /** Its web server answers although its hardware is off: what its BMC says is not true. */
  zombie: boolean;
  readonly state: () => MachineState;
  readonly bootId: () => string;
  /** Its system runs, whether or not it serves. */
  readonly isUp: () => boolean;
  /** A request would be answered well, and it wants requests. */
  readonly serves: () => boolean;
  reset(type: ResetType): void;
  cutPower(): void;
  /** Its web server dies; the machine stays on. */
  crash(): void;
  restartOrigin(): void;
  /** Its web server, whatever its state says: for zombies. */
  setOrigin(listening: boolean): void;
  stop(): Promise<void>;
}

export interface SoakMachineOptions {
  readonly name: string;
  readonly certificate: RackCertificate;
  readonly username: string;
  readonly password: string;
  readonly setupTimeMs: number;
  readonly random: () => number;
}

const systemId = '1';
const host = '127.0.0.1';

export async function startSoakMachine(options: SoakMachineOptions): Promise<SoakMachine> {
  const { name, setupTimeMs, random } = options;
  const clock = () => performance.now();
  const faults = createFaultTable();
  const shortMs = setupTimeMs / 5;
  let state: MachineState = { kind: 'serving', sinceMs: clock() };
  let boots = 0;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const origin = createServer((request, response) => {
    const isProbe = request.headers['user-agent'] === 'nemuri-health';
    if (own.answers === 'never' || (own.answers === 'notToProber' && isProbe)) return;
    response.writeHead(own.answers === 'badly' ? 500 : 200).end();
  });
  const bmc = createBmc(
    {
      name,
      uuid: `00000000-0000-4000-8000-${name.replace(/\D/g, '').padStart(12, '0')}`,
      systemId,
      manufacturer: 'Nemuri',
      model: 'Soak',
      maxWatts: 300,
      username: options.username,
      password: options.password,
      quirks: { allowableValues: 'inline', meter: 'both', transitionStates: true, sameState: 'accept' },
      maxSessions: 16,
      sessionTimeoutMs: 3_600_000,
    },
    {
      look: () => ({ state, powerWatts: machineModels[defaultModel].idleWatts }),
      reset: (resetType) => apply({ kind: 'reset', resetType }),
    },
    faults,
    clock,
  );
  const bmcServer: BmcServer = createBmcServer(bmc, faults, options.certificate, clock);
  const port = await listenOnFreePair(bmcServer.server, host, random);
  const setOrigin = (listening: boolean) => {
    if (listening && !origin.listening && !stopped) origin.listen(port + 1, host);
    if (!listening && origin.listening) {
      origin.close();
      origin.closeAllConnections();
    }
  };
  const apply = (input: MachineInput) => {
    if (stopped) return;
    const before = state;
    const plain = { setupTimeMs, poweringOnMs: shortMs, shutdownMs: shortMs };
    const first = evolve(state, input, clock(), plain);
    const isBoot = first.effects.includes('startOrigin');
    const factor = isBoot ? (faults.take(['slowBoot'], 'reset')?.factor ?? 1) : 1;
    const step = isBoot
      ? evolve(state, input, clock(), { ...plain, setupTimeMs: setupTimeMs * factor })
      : first;
    state = step.state;
    for (const effect of step.effects) {
      if (effect === 'startOrigin') boots += 1;
      else setOrigin(effect === 'openOrigin');
    }
    if (step.effects.includes('openOrigin')) apply({ kind: 'originListening' });
    if (state !== before) schedule();
  };
  const schedule = () => {
    clearTimeout(timer);
    const dueMs = nextDueMs(state);
    if (dueMs === undefined || stopped) return;
    timer = setTimeout(
      () => {
        apply({ kind: 'timePassed' });
        schedule();
      },
      Math.max(1, dueMs - clock()),
    );
  };
  const own: SoakMachine = {
    name,
    bmcUrl: `https://${host}:${port}`,
    originUrl: `http://${host}:${port + 1}`,
    faults,
    answers: 'well',
    agentSpeaks: true,
    wish: 'ready',
    zombie: false,
    state: () => state,
    bootId: () => `${name}-boot-${boots}`,
    isUp: () => own.zombie || state.kind === 'serving' || state.kind === 'crashed',
    serves: () =>
      state.kind === 'serving' &&
      (own.answers === 'well' || own.answers === 'notToProber') &&
      own.wish === 'ready',
    reset: (resetType) => apply({ kind: 'reset', resetType }),
    cutPower: () => apply({ kind: 'cutPower' }),
    crash() {
      setOrigin(false);
      apply({ kind: 'originExited' });
    },
    restartOrigin() {
      if (state.kind !== 'crashed') return;
      state = { kind: 'serving', sinceMs: clock() };
      setOrigin(true);
    },
    setOrigin,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      setOrigin(false);
      await bmcServer.close();
    },
  };
  setOrigin(true);
  return own;
}
