import type { EventType } from '../../libs/events/mod.ts';
import type { BmcFault } from '../rack/faults.ts';
import type { SoakMachine } from './machine.ts';

/** What happens to one machine, and what has to be said of it while it lasts. */
export interface SoakFault {
  readonly name: string;
  /** Of a machine that shall be awake, or of one that shall sleep. */
  readonly of: 'awake' | 'asleep';
  readonly begin: (machine: SoakMachine) => void;
  readonly end: (machine: SoakMachine) => void;
  readonly holdMs: number;
  /** At least one of these facts is told, from the beginning to the recovery; empty: nothing need be said. */
  readonly told: readonly EventType[];
  /** The proxies' part of it. */
  readonly traffic?: 'split' | 'ejected';
}

const nothing = () => undefined;
const heal = (machine: SoakMachine) => machine.faults.set([]);

function ofAnswers(name: string, answers: SoakMachine['answers'], told: readonly EventType[]): SoakFault {
  return {
    name,
    of: 'awake',
    begin: (machine) => {
      machine.answers = answers;
    },
    end: (machine) => {
      machine.answers = 'well';
    },
    holdMs: 2_500,
    told,
  };
}

function ofBmc(name: string, of: SoakFault['of'], fault: BmcFault): SoakFault {
  return {
    name,
    of,
    begin: (machine) => machine.faults.set([fault]),
    end: heal,
    holdMs: 6_500,
    told: ['PowerStateLost'],
  };
}

/** Its power goes, and what the BMC makes of the wake that follows. */
function powerCut(name: string, faults: readonly BmcFault[]): SoakFault {
  return {
    name,
    of: 'awake',
    begin: (machine) => {
      machine.faults.set(faults);
      machine.cutPower();
    },
    end: nothing,
    holdMs: 0,
    told: ['PowerDriftDetected'],
  };
}

/** Everything that can happen, in the order of what is told of it. */
export const soakFaults: readonly SoakFault[] = [
  {
    name: 'web server crashes',
    of: 'awake',
    begin: (machine) => machine.crash(),
    end: (machine) => machine.restartOrigin(),
    holdMs: 2_000,
    told: ['ServerBecameUnhealthy'],
  },
  ofAnswers('web server hangs', 'never', ['ServerBecameUnhealthy']),
  ofAnswers('web server fails', 'badly', ['ServerBecameUnhealthy']),
  { ...ofAnswers('prober can not reach it', 'notToProber', ['ContradictionDetected']), holdMs: 4_000 },
  {
    name: 'one proxy can not reach it',
    of: 'awake',
    begin: nothing,
    end: nothing,
    holdMs: 2_500,
    told: ['ContradictionDetected'],
    traffic: 'split',
  },
  {
    name: 'a proxy ejects it',
    of: 'awake',
    begin: nothing,
    end: nothing,
    holdMs: 0,
    told: ['EjectionLifted'],
    traffic: 'ejected',
  },
  {
    name: 'agent silent',
    of: 'awake',
    begin: (machine) => {
      machine.agentSpeaks = false;
    },
    end: (machine) => {
      machine.agentSpeaks = true;
    },
    holdMs: 4_000,
    told: ['HeartbeatLost'],
  },
  {
    name: 'wishes to be drained',
    of: 'awake',
    begin: (machine) => {
      machine.wish = 'drain';
    },
    end: (machine) => {
      machine.wish = 'ready';
    },
    holdMs: 1_500,
    told: ['ServerWished'],
  },
  {
    name: 'reboots by itself',
    of: 'awake',
    begin: (machine) => machine.reset('ForceRestart'),
    end: nothing,
    holdMs: 0,
    told: ['ServerRebooted', 'HeartbeatStarted', 'PowerDriftDetected'],
  },
  powerCut('power cut', []),
  powerCut('power cut, and an On that lies', [{ kind: 'ignoredReset', on: 'reset', times: 1 }]),
  powerCut('power cut, and a refused On', [{ kind: 'status', status: 503, on: 'reset', times: 1 }]),
  powerCut('power cut, and a slow boot', [{ kind: 'slowBoot', factor: 3, times: 1 }]),
  {
    ...powerCut('button', []),
    begin: (machine) => machine.reset('PushPowerButton'),
  },
  ofBmc('BMC hangs', 'awake', { kind: 'hang' }),
  ofBmc('BMC resets connections', 'awake', { kind: 'resetConnection' }),
  ofBmc('BMC refuses with an empty 503', 'awake', { kind: 'status', status: 503 }),
  ofBmc('BMC talks nonsense', 'awake', { kind: 'malformedJson' }),
  ofBmc('BMC of a sleeper hangs', 'asleep', { kind: 'hang' }),
  ofBmc('BMC of a sleeper talks nonsense', 'asleep', { kind: 'malformedJson' }),
  {
    name: 'sleeper switched on by hand',
    of: 'asleep',
    begin: (machine) => machine.reset('On'),
    end: nothing,
    holdMs: 0,
    told: ['PowerDriftDetected'],
  },
  {
    name: 'sleeper speaks and serves while its BMC says off',
    of: 'asleep',
    begin: (machine) => {
      machine.zombie = true;
      machine.setOrigin(true);
    },
    end: (machine) => {
      machine.zombie = false;
      machine.setOrigin(machine.state().kind === 'serving');
    },
    holdMs: 6_000,
    told: ['ContradictionDetected', 'SleepContradicted'],
  },
];
