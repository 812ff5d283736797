/** What a policy may know at the end of a second. Rates in requests/s. */
export interface Observation {
  /** Seconds since the start; the first call is for second 0, before any load was seen. */
  readonly second: number;
  /** Requests that arrived in the last second. */
  readonly arrivals: number;
  /** Requests that wait for capacity now. */
  readonly waiting: number;
  /** Servers that serve, and servers that are being set up. */
  readonly ready: number;
  readonly waking: number;
}

/** The fleet that a counting policy plans for: equal servers. */
export interface FleetFacts {
  readonly servers: number;
  readonly capacityRps: number;
  readonly setupSeconds: number;
  readonly idleWatts: number;
  readonly busyWatts: number;
  readonly setupWatts: number;
  readonly offWatts: number;
  readonly latencyObjectiveSeconds: number;
}

/** A rival: says each second how many servers shall be on or coming. */
export interface CountingPolicy {
  /** A whole number from 0 to `servers`; what lies outside is cut. */
  decide(observation: Observation): number;
}

/** A named rival with the parameters it was published with, and those that it can be tuned by in hindsight. */
export interface PolicyDefinition {
  readonly name: string;
  /** Paper or project, year and section. */
  readonly source: string;
  readonly defaults: Readonly<Record<string, number>>;
  /** For each parameter the values worth trying in hindsight; empty: nothing to tune. */
  readonly grid: Readonly<Record<string, readonly number[]>>;
  create(facts: FleetFacts, parameters: Readonly<Record<string, number>>): CountingPolicy;
}
