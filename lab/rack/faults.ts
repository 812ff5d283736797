import type { ResetType } from './machine.ts';

/** What a request to the BMC is about; faults pick by it. */
export type RequestKind = 'read' | 'reset' | 'session' | 'other';

interface Bounds {
  /** Only requests of this kind; left out: all. */
  readonly on?: RequestKind;
  /** How many requests it hits; left out: until it is removed. */
  readonly times?: number;
}

/** What real BMCs do wrong, switchable while the rack runs. */
export type BmcFault = Bounds &
  (
    | { /** Takes the request, never answers. */ readonly kind: 'hang' }
    | { /** Cuts the connection without an answer. */ readonly kind: 'resetConnection' }
    | {
        /** Answers this status (401, 409, 429, 503, …) with an empty body. */
        readonly kind: 'status';
        readonly status: number;
        readonly retryAfterSeconds?: number;
      }
    | { /** 200 with half a JSON document. */ readonly kind: 'malformedJson' }
    | { /** 200 with a JSON document of this size. */ readonly kind: 'hugeBody'; readonly bytes: number }
    | {
        /** Says yes to a reset and does nothing; left out: to every reset type. */
        readonly kind: 'ignoredReset';
        readonly resetTypes?: readonly ResetType[];
      }
    | {
        /** Answers a reset with 202 and a task; a task that completes does the reset when it completes. */
        readonly kind: 'task';
        readonly durationMs: number;
        readonly outcome: 'Completed' | 'Exception';
        /** Where the Location points: the task itself (default), or its monitor as DSP0266 wants. */
        readonly location?: 'task' | 'monitor';
      }
    | {
        /** Set-ups that begin now take this many times as long; Infinity: it never serves. */
        readonly kind: 'slowBoot';
        readonly factor: number;
      }
    | { /** The meter says 0 W though the machine is on. */ readonly kind: 'zeroWatts' }
  );
export type FaultKind = BmcFault['kind'];
export type FaultOf<K extends FaultKind> = Extract<BmcFault, { readonly kind: K }>;

/** Faults of the answer itself; they come before the BMC looks at the request. */
export const answerFaults = [
  'hang',
  'resetConnection',
  'status',
  'malformedJson',
  'hugeBody',
] as const satisfies readonly FaultKind[];

/** One server's faults, in the order in which they are looked at. */
export interface FaultTable {
  set(faults: readonly BmcFault[]): void;
  /** The first fault of one of these kinds that the request meets, counted as used; undefined: none. */
  take<K extends FaultKind>(
    kinds: readonly K[],
    request: RequestKind,
    resetType?: ResetType,
  ): FaultOf<K> | undefined;
}

function meets(fault: BmcFault, request: RequestKind, resetType: ResetType | undefined): boolean {
  if (fault.on !== undefined && fault.on !== request) return false;
  if (fault.kind !== 'ignoredReset' || fault.resetTypes === undefined) return true;
  return resetType !== undefined && fault.resetTypes.includes(resetType);
}

/** An empty table. */
export function createFaultTable(): FaultTable {
  let entries: { fault: BmcFault; left: number }[] = [];
  return {
    set(faults) {
      entries = faults.map((fault) => ({ fault, left: fault.times ?? Number.POSITIVE_INFINITY }));
    },
    take<K extends FaultKind>(kinds: readonly K[], request: RequestKind, resetType?: ResetType) {
      const entry = entries.find(
        ({ fault, left }) =>
          left > 0 &&
          (kinds as readonly FaultKind[]).includes(fault.kind) &&
          meets(fault, request, resetType),
      );
      if (!entry) return undefined;
      entry.left -= 1;
      return entry.fault as FaultOf<K>;
    },
  };
}
