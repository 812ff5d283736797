import type { MachineKind, ResetType } from './machine.ts';

/** A power command that a BMC gave to its machine. */
export interface PowerCommand {
  /** Epoch ms. */
  readonly atMs: number;
  readonly server: string;
  readonly resetType: ResetType;
  /** What the machine was when it came. */
  readonly before: MachineKind;
  /**
   * Requests that were not answered: counted by the operating system when it is told to stop, else as the web server
   * last reported them, up to 100 ms before.
   */
  readonly inFlight: number;
}

export interface PowerLog {
  note(server: string, resetType: ResetType, before: MachineKind, inFlight: number): void;
  /** Its operating system was told to stop, and counted. */
  onStopping(server: string, inFlight: number): void;
  list(): readonly PowerCommand[];
}

const maxCommands = 10_000;

/** The newest commands of a whole rack, oldest first. */
export function createPowerLog(now: () => number): PowerLog {
  const commands: { -readonly [K in keyof PowerCommand]: PowerCommand[K] }[] = [];
  return {
    note(server, resetType, before, inFlight) {
      commands.push({ atMs: now(), server, resetType, before, inFlight });
      if (commands.length > maxCommands) commands.shift();
    },
    onStopping(server, inFlight) {
      const last = commands.findLast((command) => command.server === server);
      if (last) last.inFlight = inFlight;
    },
    list: () => commands.map((command) => ({ ...command })),
  };
}
