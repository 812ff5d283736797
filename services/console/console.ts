import type { Bus } from '../../libs/bus/mod.ts';
import { hourMs } from '../../libs/domain/mod.ts';
import { type RecordedEvent, subjectFilters } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import { fleetReadiness, type RunningService, type ServiceContext } from '../../libs/runtime/service.ts';
import { createAccess } from './access.ts';
import { addApi } from './api.ts';
import type { Assets } from './assets.ts';
import { createHttp } from './http.ts';
import { startLive } from './live.ts';
import { addLookApi } from './lookApi.ts';
import { createModel } from './model.ts';
import { startOtlp } from './otlp.ts';
import { createSavingsBook } from './savings.ts';
import { keptSeconds } from './series.ts';
import type { ConsoleSettings } from './settings.ts';
import { createTraceStore } from './traces.ts';
import type { Whatif } from './whatif.ts';
import { addWhatifApi } from './whatifApi.ts';

export interface RunningConsole extends RunningService {
  /** Where the page is, such as http://127.0.0.1:8090. */
  readonly address: string;
}

const telemetryFilters = [subjectFilters.load, subjectFilters.meter];
const defaultMeterGapMs = 60_000;
const monthMs = 31 * 24 * hourMs;

/** The energy of the hour under way is not in the history yet: it is made from its meters. */
function hourBegunMs(nowMs: number): number {
  return Math.floor(nowMs / hourMs) * hourMs;
}

/** So much of the history is read at the start, for the page's first lines. */
const rememberedEvents = 1_000;

async function lastEvents(bus: Bus, untilSequence: number): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  if (untilSequence === 0) return events;
  for await (const event of bus.history('FLEET', Math.max(1, untilSequence - rememberedEvents))) {
    if (event.sequence > untilSequence) break;
    events.push(event);
  }
  return events;
}

/** The console: the page, its live stream and the operator's hand over the same events as every other service. */
export async function startConsole(
  context: ServiceContext,
  settings: ConsoleSettings,
  assets: Assets,
  whatif: Whatif,
): Promise<RunningConsole> {
  const { bus, log, nowMs } = context;
  const model = createModel();
  const view = await openFleetView({
    bus,
    name: 'console',
    onProblem: (problem, details) => log.warn(details, problem),
  });
  const pastUntil = view.fleet.sequence;
  const stopListening = view.onChange((event) => model.fleetEvent(event));
  model.past(await lastEvents(bus, pastUntil));
  const savings = createSavingsBook();
  const traces = createTraceStore();
  const otlp = settings.otlp && (await startOtlp(settings.otlp, traces));
  const subscriptions = await Promise.all(
    telemetryFilters.map((filter) =>
      bus.subscribe({
        stream: 'TELEMETRY',
        filter,
        startAt: { sinceMs: hourBegunMs(nowMs()) - keptSeconds * 1_000 },
        onEvent(event) {
          model.telemetryEvent(event);
          savings.telemetryEvent(event, view.fleet.config?.costs.maxMeterGapMs ?? defaultMeterGapMs);
        },
        onMalformed: (malformed) => log.warn(malformed, 'malformed event skipped'),
      }),
    ),
  );
  const accounted = await bus.subscribe({
    stream: 'FLEET',
    filter: subjectFilters.energy,
    startAt: { sinceMs: nowMs() - monthMs },
    onEvent(event) {
      if (event.type === 'EnergyAccounted') savings.accounted(event.data);
    },
  });
  const access = createAccess(settings, nowMs);
  const live = startLive({
    model,
    fleet: () => view.fleet,
    nowMs,
    onDropped: () => log.warn('a page that reads too slowly was dropped'),
  });
  const { app, needSession } = createHttp({
    assets,
    access,
    onFailure: (error) => log.error({ err: error }, 'a request failed'),
  });
  addApi({
    app,
    access,
    needSession,
    live,
    bus,
    fleet: () => view.fleet,
    jaegerUrl: settings.jaegerUrl,
    nowMs,
  });
  addLookApi({ app, needSession, bus, fleet: () => view.fleet, savings, traces, nowMs });
  addWhatifApi({ app, access, needSession, fleet: () => view.fleet, whatif });
  const address = await app.listen({ host: settings.host, port: settings.port }).catch((error) => {
    throw new Error(
      `NEMURI_CONSOLE_LISTEN must be an address that is free (got ${settings.host}:${settings.port}: ${messageOf(error)})`,
    );
  });
  log.info({ address }, 'console');
  return {
    address,
    fleet: () => view.fleet,
    notReady: () => fleetReadiness(view.fleet, bus),
    async stop() {
      live.stop();
      whatif.stop();
      await app.close();
      stopListening();
      await otlp?.stop();
      await Promise.all([...subscriptions, accounted].map((subscription) => subscription.stop()));
      await view.close();
    },
  };
}
