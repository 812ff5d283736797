/** What `nemuri init` and the process that reads BMCs for it say to each other. */

export interface BmcLookJob {
  readonly bmcs: readonly BmcAddress[];
  /** For one BMC, all its resources together. */
  readonly timeoutMs: number;
}

export interface BmcAddress {
  /** Scheme, host and port. */
  readonly url: string;
  readonly username: string;
  /** Where the password is: `env:NAME` or `file:/path`. */
  readonly password: string;
  /** The only certificate that gets the password; left out: one that the CAs of this system vouch for. */
  readonly fingerprint256?: string;
}

/** One machine behind a BMC, as Redfish describes it. What it does not say is left out. */
export interface BmcSystem {
  readonly id: string;
  readonly hostName?: string;
  readonly model?: string;
  readonly powerState: string;
  /** Of its network cards, for Wake-on-LAN. */
  readonly macs: readonly string[];
  /** Reset types it allows (DSP0268, Resource.ResetType); empty: it does not say. */
  readonly resetTypes: readonly string[];
  /** Watts now, where the BMC has a meter. */
  readonly powerWatts?: number;
}

export type BmcFound =
  | { readonly url: string; readonly systems: readonly BmcSystem[] }
  | { readonly url: string; readonly problem: string };

/** Over the channel to the parent process. */
export type BmcLookMessage = { readonly kind: 'found'; readonly found: BmcFound } | { readonly kind: 'done' };
