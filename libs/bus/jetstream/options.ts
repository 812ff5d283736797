import type { TlsOptions } from '@nats-io/transport-node';
import type { StreamLimits } from '../bus.ts';

/** As whom and how we connect; what is left out is taken from the URL. */
export interface BusLogin {
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** Given, even empty: nothing is sent but over TLS. */
  readonly tls?: TlsOptions | undefined;
}

export interface JetStreamBusOptions extends BusLogin {
  /** `nats://host:port` or `host:port`, one or several of one cluster. */
  readonly servers: string | readonly string[];
  /** `ce-source` of every event published through this bus. */
  readonly source: string;
  /** The connection's name in the server's lists; default: the source. */
  readonly name?: string;
  /** Epoch milliseconds, for `ce-time` and `lostSinceMs`. */
  readonly now?: () => number;
  /** Gives each event its id; default: random UUIDs. */
  readonly newId?: () => string;
  /**
   * What went wrong without a caller to tell it to: a lost connection that does not come back, a subscriber that
   * threw, a stream that was made anew. The bus goes on by itself.
   */
  readonly onProblem?: (problem: Error) => void;
  /** After this long without a server, the bus is handed out unconnected and goes on trying. Default: waits for ever. */
  readonly firstConnectTimeoutMs?: number;
  /** Limits of the streams. One left out: the stream's own limit stays, or the default is used to create it. */
  readonly limits?: StreamLimits;
  /** How long a subscription may be quiet before it is checked against the stream's end. */
  readonly quietCheckMs?: number;
  /** How often the streams are asked whether they can store; default: `pulseMs`. */
  readonly pulseMs?: number;
}

const dayMs = 24 * 60 * 60 * 1000;
const mebibyte = 1024 * 1024;

/** JetStream reserves the bytes on the disk's account when a stream is created; small disks need smaller limits. */
export const defaultLimits: Required<StreamLimits> = {
  replicas: 1,
  fleetMaxAgeMs: 400 * dayMs,
  fleetMaxBytes: 2_048 * mebibyte,
  telemetryMaxAgeMs: dayMs,
  telemetryMaxBytes: 512 * mebibyte,
  snapshotsMaxBytes: 256 * mebibyte,
};

/** How long the streams remember message ids: a repeated publish within it is stored once. */
export const duplicateWindowMs = 2 * 60 * 1000;

/** How long one request to the bus may take before it is tried again. */
export const requestTimeoutMs = 5_000;

/** Between tries while the bus is away. */
export const retryMs = 250;

/** Between tries of a connection that stands before streams that can't store; it grows up to this, since all wait for them. */
export const mostRetryMs = 2_000;

/** How often the streams are asked whether they can store. */
export const pulseMs = 5_000;

/** So many pulses in a row without a good answer are a lost bus. It takes longer than to elect a new leader (up to 9 s). */
export const missedPulses = 3;

/** A copy that the stream's leader has not heard for so long does not count; it hears one every second. */
export const copySilentMs = 5_000;
