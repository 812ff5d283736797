import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { Value } from '@sinclair/typebox/value';
import { type Bus, StaleWriterError } from '../bus/mod.ts';
import { type DraftOf, type FleetConfig, subjectOf } from '../events/mod.ts';
import { type ConfigProblem, parseConfig, readConfigFile, UnreadableConfigError } from './config.ts';
import { messageOf } from './errors.ts';
import { startLoop } from './loop.ts';

export interface PublishedConfig {
  /** False: the latest configuration in the history is the same already. */
  readonly published: boolean;
  /** Sequence of the `FleetConfigured` that holds it. */
  readonly sequence: number;
}

/** Another writer may come first; each time we look again at what it wrote. */
const maxPublishTries = 5;

/**
 * Takes a configuration into the history as `FleetConfigured`, unless the latest one there is equal, and brings the
 * streams to the limits it sets.
 * @param origin who or what it comes from, such as the file's name.
 * @param timeoutMs how long the bus may take; default: until it is closed.
 * @throws StaleWriterError when others write configurations faster than we can, BusTimeoutError past `timeoutMs`.
 */
export async function publishConfig(
  bus: Bus,
  config: FleetConfig,
  origin: string,
  timeoutMs?: number,
): Promise<PublishedConfig> {
  const draft: DraftOf<'FleetConfigured'> = { type: 'FleetConfigured', data: { config, origin } };
  const { maxAgeMs, maxBytes, telemetryMaxAgeMs, telemetryMaxBytes } = config.history;
  await bus.limit({
    fleetMaxAgeMs: maxAgeMs,
    fleetMaxBytes: maxBytes,
    telemetryMaxAgeMs,
    telemetryMaxBytes,
  });
  for (let tried = 1; ; tried += 1) {
    let latest: { readonly config: FleetConfig; readonly sequence: number } | undefined;
    for await (const event of bus.history('FLEET', 1, subjectOf(draft))) {
      if (event.type === 'FleetConfigured') latest = { config: event.data.config, sequence: event.sequence };
    }
    if (latest && Value.Equal(latest.config, config)) {
      return { published: false, sequence: latest.sequence };
    }
    try {
      const fence = { expectedLastSubjectSequence: latest?.sequence ?? 0 };
      const { sequence } = await bus.publish(
        draft,
        timeoutMs === undefined ? fence : { ...fence, timeoutMs },
      );
      return { published: true, sequence };
    } catch (error) {
      if (!(error instanceof StaleWriterError) || tried === maxPublishTries) throw error;
    }
  }
}

export interface WatchConfigOptions {
  readonly file: string;
  readonly bus: Bus;
  /** Default: the file's name. */
  readonly origin?: string;
  /** The file is valid and the history holds it. */
  readonly onApplied: (config: FleetConfig, result: PublishedConfig) => void;
  /** The file is not valid or can't be read: the configuration in the history stays. Told once for each content. */
  readonly onRefused: (problems: readonly ConfigProblem[]) => void;
  /** The bus did not take a valid configuration; it is tried again at each poll. */
  readonly onProblem: (problem: string, details: object) => void;
  readonly signal: AbortSignal;
  /** Between two looks at the file where the system does not tell of changes; default 2,000. */
  readonly pollIntervalMs?: number;
  /** A change is taken when nothing more came for this long; default 100. */
  readonly debounceMs?: number;
  /** How long the bus may take for one try; default 5,000. */
  readonly publishTimeoutMs?: number;
}

export interface ConfigWatch {
  /** Whether the file was applied at the start. */
  readonly applied: boolean;
  /** Resolves when the watch has ended after the abort. */
  readonly ended: Promise<void>;
}

/**
 * Applies the file now and whenever its content changes, until the abort. Resolves after the first look.
 * The directory is watched, not the file, and the file is looked at from time to time too: editors replace
 * files, Kubernetes swaps a symbolic link beside them, and some mounts tell of nothing.
 */
export async function watchConfig(options: WatchConfigOptions): Promise<ConfigWatch> {
  const { file, signal, pollIntervalMs = 2_000, debounceMs = 100, onProblem } = options;
  const look = createLook(options);
  const applied = await look();
  if (signal.aborted) return { applied, ended: Promise.resolve() };
  const loop = startLoop({
    work: async () => void (await look()),
    delayMs: () => pollIntervalMs,
    onError: (error) => onProblem('configuration file not looked at', { error: messageOf(error) }),
  });
  let debounce: NodeJS.Timeout | undefined;
  const directory = watchDirectory(dirname(resolve(file)), onProblem, () => {
    clearTimeout(debounce);
    debounce = setTimeout(loop.wakeUp, debounceMs);
  });
  const ended = new Promise<void>((done) => {
    signal.addEventListener('abort', () => {
      clearTimeout(debounce);
      directory?.close();
      void loop.stop().then(done);
    });
  });
  return { applied, ended };
}

/** Without a watcher (no inotify instance left, a file system that has none) polling has to do. */
function watchDirectory(
  directory: string,
  onProblem: WatchConfigOptions['onProblem'],
  onEvent: () => void,
): FSWatcher | undefined {
  const polling = (error: unknown) =>
    onProblem('directory not watched, polling only', { error: messageOf(error) });
  try {
    return watch(directory, onEvent).on('error', polling);
  } catch (error) {
    polling(error);
    return undefined;
  }
}

/** A file changed less than this ago is read again although its times are the same: they are coarse. */
const restingMs = 2_000;

/** One look at the file: takes it in when it is new. Says whether the content now in the file was applied. */
function createLook(options: WatchConfigOptions): () => Promise<boolean> {
  const { file, bus, origin = basename(file), onApplied, onRefused, onProblem } = options;
  const { publishTimeoutMs = 5_000 } = options;
  let seenStamp: string | undefined;
  let seenText: string | undefined;
  let applied = false;
  let looked = false;
  let unreadable: { readonly why: string; readonly told: boolean } | undefined;

  /** An editor's rename leaves no file for a moment: after the start, only the second look in a row counts. */
  const refuseUnreadable = (why: string) => {
    const again = unreadable?.why === why;
    const told = !looked || (again && unreadable?.told !== true);
    if (told) onRefused([{ file, line: 1, key: '', rule: why }]);
    unreadable = { why, told: told || (again && unreadable?.told === true) };
    [seenStamp, seenText, applied, looked] = [undefined, undefined, false, true];
    return false;
  };

  return async () => {
    const stats = await stat(file, { bigint: true }).catch(() => undefined);
    const stamp = stats && [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(' ');
    const resting = stats && Date.now() - Number(stats.ctimeMs) > restingMs;
    if (stamp !== undefined && stamp === seenStamp && resting) return applied;
    let text: string;
    try {
      text = await readConfigFile(file);
    } catch (error) {
      return refuseUnreadable(error instanceof UnreadableConfigError ? error.why : messageOf(error));
    }
    [unreadable, looked] = [undefined, true];
    if (text !== seenText) {
      const result = parseConfig(text, { file });
      applied = false;
      if (result.ok) {
        try {
          const published = await publishConfig(bus, result.config, origin, publishTimeoutMs);
          applied = true;
          onApplied(result.config, published);
        } catch (error) {
          seenText = undefined;
          onProblem('configuration not taken into the history, trying again', { error: messageOf(error) });
          return false;
        }
      } else {
        onRefused(result.problems);
      }
    }
    [seenText, seenStamp] = [text, stamp];
    return applied;
  };
}
