import type { LoadTarget } from './machines.ts';
import type { ArmName, TrialOptions } from './options.ts';

/** What the load generator measured of the requests that were due in one chapter. */
export interface ChapterLoad {
  readonly requests: number;
  readonly failed: number;
  /** Answered later than the objective after they were due. */
  readonly late: number;
  readonly causes: Readonly<Record<string, number>>;
  readonly buckets: readonly number[];
  readonly maxMs: number;
}

export interface GeneratorOrder {
  /** Of the proxy: scheme, host and port. */
  readonly address: string;
  readonly target: LoadTarget;
  readonly options: TrialOptions;
  readonly seconds: number;
  readonly fromChapter: number;
}

export type GeneratorMessage =
  | { readonly kind: 'started' }
  /** Since the last message of this kind. */
  | {
      readonly kind: 'progress';
      readonly requests: number;
      readonly failed: number;
      readonly late: number;
      readonly buckets: readonly number[];
      readonly maxSendLagMs: number;
    }
  /** Every request that was due in this chapter is answered or has failed. */
  | { readonly kind: 'chapter'; readonly chapter: number; readonly load: ChapterLoad };

/** What an arm on own machines must be told: its configuration is written down already. */
export interface OwnRun {
  readonly configFile: string;
  /** What the requests ask for, as a client would spell it. */
  readonly url: string;
  /** Every server is awake within this, or never. */
  readonly readyTimeoutMs: number;
  /** Nothing is replayed: every server is woken, and that is all. */
  readonly onlyWakes?: true;
}

/** The order to the process of one arm. */
export interface ArmOrder {
  /** Left out: on a virtual rack. */
  readonly own?: OwnRun;
  readonly arm: ArmName;
  readonly options: TrialOptions;
  /** The part of the series that is replayed, in its own seconds. */
  readonly seconds: number;
  readonly chapterSeconds: number;
  /** Its own folder: chapters are written there. */
  readonly folder: string;
  /** The first chapter that is not there yet. */
  readonly fromChapter: number;
}

export type ArmMessage =
  | { readonly kind: 'say'; readonly line: string }
  /** Everything of this arm is up; it waits for `go`, so that no arm starts while another one's load runs. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'finished' }
  | { readonly kind: 'failed'; readonly error: string };
