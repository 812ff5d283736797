import type { StreamLimits } from '../../libs/bus/mod.ts';
import type { EventDraft } from '../../libs/events/mod.ts';
import type { Rack } from '../rack/rack.ts';

/** What an arm runs on: a virtual rack of its own, or the machines of the user. */
export interface Machines {
  /** The one pool that is tried, and its servers. */
  readonly pool: string;
  readonly names: readonly string[];
  readonly configFile: string;
  /** For the services, beside what they have anyway. */
  readonly env: NodeJS.ProcessEnv;
  readonly streamLimits: Partial<StreamLimits>;
  /** Readings of a meter further apart leave a gap, which counts as modelled. */
  readonly maxMeterGapMs: number;
  readonly load: LoadTarget;
  /** Facts that keep every server awake, and those that end it. */
  readonly held: readonly EventDraft[];
  readonly released: readonly EventDraft[];
  /** Until every server is ready, at most. */
  readonly readyTimeoutMs: number;
  /** Whether every server must be awake again when the arm is over, however it ends. */
  readonly wakesAtEnd: boolean;
  /** The virtual rack, which knows its true energy and can have accidents; undefined: nobody knows the truth. */
  readonly rack: Rack | undefined;
}

/** Where the requests go, and what is asked of the answers. */
export interface LoadTarget {
  /** Path and query. */
  readonly path: string;
  /** The Host header; left out: that of the address. */
  readonly host?: string;
  /** Of all servers, in requests/s. */
  readonly capacityRps: number;
  readonly latencyObjectiveMs: number;
  /** The even load before the series begins is at least this. */
  readonly leastLeadInRps: number;
}
