import type { Fleet } from '../../libs/domain/mod.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';

const sayIntervalMs = 15_000;

/**
 * Resolves when every one of these servers is ready; says now and then which are not yet.
 * @throws Error naming those that are not, when the signal is aborted before.
 */
export async function untilAwake(
  view: Pick<FleetView, 'fleet' | 'when'>,
  names: readonly string[],
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  signal.throwIfAborted();
  const timer = setInterval(() => say(`waits for ${missingOf(view.fleet, names).join(', ')}`), sayIntervalMs);
  try {
    await view.when((fleet) => missingOf(fleet, names).length === 0, signal);
  } catch (error) {
    const missing = missingOf(view.fleet, names);
    const why = signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError';
    throw why ? new Error(`not awake in time: ${missing.join(', ')}`, { cause: error }) : error;
  } finally {
    clearInterval(timer);
  }
}

/** Each server that is not ready, with what it is. */
function missingOf({ servers }: Fleet, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const lifecycle = servers[name]?.lifecycle ?? 'unknown';
    return lifecycle === 'ready' ? [] : [`${name} (${lifecycle})`];
  });
}
