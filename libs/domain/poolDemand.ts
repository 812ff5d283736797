import {
  type Demand,
  demandOf,
  emptyLoadHistory,
  forgetProxies,
  type LoadHistory,
  type LoadSample,
  observeLoad,
  rateBetween,
} from './demand.ts';
import { createForecast, type Forecast } from './forecast.ts';

export interface DemandSettings {
  /** How far ahead capacity must be ordered: the setup time. */
  readonly horizonMs: number;
  /** The proxies' sample interval: nothing finer is known. */
  readonly sampleIntervalMs: number;
  /** What came in over this time counts as the rate of now. */
  readonly burstWindowMs: number;
  /** The share of requests that may be late. */
  readonly risk: number;
  /** How long a day of the load lasts: other than 24 h where a series is replayed faster. */
  readonly dayMs: number;
  readonly proxyLeaseMs: number;
  /** A proxy silent for longer is forgotten. */
  readonly proxyGoneMs: number;
}

/** What the servers could take while a step of the load was served. */
export interface Provided {
  readonly readyRps: number;
  /** No more servers could have been woken. */
  readonly wholePool: boolean;
}

/**
 * The memory of one pool's demand: the proxies' last samples, the forecast that learns from them, and how cautious
 * experience has made it. Changed in place; the same samples at the same times give the same memory.
 */
export interface PoolDemand {
  /** Takes a sample in. Nonsense and what comes out of order is left out. */
  observe(sample: LoadSample): void;
  /**
   * Closes every step of the forecast that has ended by `nowMs` (epoch ms).
   * @param provided what the servers could take; left out in a replay, from which no lateness is learned.
   */
  advance(nowMs: number, settings: DemandSettings, provided?: Provided): void;
  demand(nowMs: number, settings: DemandSettings): Demand;
  /** The rate (requests/s) that is exceeded a setup time from now with `factor` times the accepted risk. */
  upperRps(settings: DemandSettings, factor: number): number;
  /** The highest that `upperRps` with this factor was in the last `windowMs`. */
  heldUpperRps(windowMs: number): number;
  readonly levelRps: number;
  readonly forecast: Forecast | undefined;
  /** For how long no request has come, in ms; Infinity when none ever has. */
  quietForMs(nowMs: number): number;
}

/** A forecast is made for a setup time; one that is off by more than this factor is made anew. */
const horizonTolerance = 1.3;
/** Within a second arrivals are mostly chance, and a queue takes them up. */
const leastStepMs = 1_000;
/** Samples are held for so long: they are closed into steps long before. */
const heldMs = 120_000;
/** Steps kept to teach a new forecast what the old one knew. */
const keptSteps = 20_000;
/** A step is closed this many sample intervals after its end, so that the samples of slower proxies count. */
const lagIntervals = 1.5;
/** Rates are lower than this only by rounding. */
const noRate = 1e-9;
/** Lowered to this share of the risk, a hold is let go more reluctantly than it is taken. */
const keepFactor = 0.5;
/** A server is woken when the risk without it is this many times the accepted one. */
export const wakeFactor = 2;

const realDayMs = 86_400_000;
/** What the tails of the errors, taken one at a time, underrate: calibrated once over all of `lab/traces`. */
const tailFactor = 0.85;
/** Experience may shrink or grow the risk that is taken by these factors. */
const leastCaution = 0.4;
const mostDaring = 10;
/** Half of the accepted lateness is aimed at, the rest is for what nobody could foresee. */
const aimedShare = 0.5;
/** How fast experience counts: a day without lateness makes it bolder by at most this (natural logarithm). */
const boldnessPerDay = 0.5;
const boldnessPerRisk = 700;
const mostCautionPerStep = 0.15;

export function createPoolDemand(): PoolDemand {
  let history: LoadHistory = emptyLoadHistory;
  let forecast: Forecast | undefined;
  let closedToMs: number | undefined;
  const rates: number[] = [];
  const uppers: { readonly timeMs: number; readonly rps: number }[] = [];
  let meanRps = 0;
  let learnedSteps = 0;
  let boldness = 0;
  let lastArrivalMs = Number.NEGATIVE_INFINITY;

  /** The forecast thinks in the load's own time, whose days have 24 h; its periods and windows fit no other. */
  const forecastFor = (settings: DemandSettings): Forecast => {
    const speed = speedOf(settings);
    const horizonMs = settings.horizonMs * speed;
    const off = forecast ? forecast.horizonMs / horizonMs : Number.POSITIVE_INFINITY;
    if (forecast && off < horizonTolerance && off > 1 / horizonTolerance) return forecast;
    const fitted = createForecast(horizonMs, Math.max(leastStepMs, settings.sampleIntervalMs * speed));
    if (forecast) for (const rps of resample(rates, forecast.stepMs, fitted.stepMs)) fitted.feed(rps);
    forecast = fitted;
    return fitted;
  };
  const learn = (rps: number, stepMs: number, { risk, dayMs }: DemandSettings, provided: Provided) => {
    learnedSteps += 1;
    meanRps += Math.max(1 - Math.exp(-stepMs / dayMs), 1 / learnedSteps) * (rps - meanRps);
    const lateRps = !provided.wholePool && rps > provided.readyRps ? rps : 0;
    const allowedRps = aimedShare * risk * Math.max(1, meanRps);
    const gain = Math.min(boldnessPerDay, boldnessPerRisk * risk) * (stepMs / dayMs);
    const change = Math.max(-mostCautionPerStep, (gain * (allowedRps - lateRps)) / allowedRps);
    boldness = Math.max(Math.log(leastCaution), Math.min(Math.log(mostDaring), boldness + change));
  };
  const upper = (settings: DemandSettings, factor: number) =>
    forecast?.upperRps(Math.min(0.5, settings.risk * tailFactor * factor * Math.exp(boldness))) ?? 0;

  return {
    observe(sample) {
      const isFirst = sample.arrivals > 0 && lastArrivalMs === Number.NEGATIVE_INFINITY;
      if (sample.arrivals > 0) lastArrivalMs = Math.max(lastArrivalMs, sample.timeMs);
      history = observeLoad(history, sample, heldMs);
      if (isFirst) history = { ...history, sinceMs: sample.timeMs - sample.intervalMs };
    },
    advance(nowMs, settings, provided) {
      // A pool that nobody has asked for anything yet says nothing of its load: its silence is not learned from.
      if (lastArrivalMs === Number.NEGATIVE_INFINITY) {
        history = forgetProxies(history, nowMs, settings.proxyGoneMs);
        return;
      }
      const model = forecastFor(settings);
      const stepMs = model.stepMs / speedOf(settings);
      // With no proxy left nothing is known, which is not the same as no load.
      if (history.sinceMs === undefined || Object.keys(history.byProxy).length === 0) return;
      const readyMs = nowMs - lagIntervals * settings.sampleIntervalMs;
      // After a gap in what is known, and at the beginning, the steps start with the first sample.
      if (closedToMs === undefined || closedToMs < history.sinceMs) {
        if (closedToMs !== undefined) model.skip(Math.round((history.sinceMs - closedToMs) / stepMs));
        closedToMs = history.sinceMs;
      }
      // Older than what is held of the samples nothing can be told any more.
      if (readyMs - closedToMs > heldMs) {
        const steps = Math.ceil((readyMs - closedToMs - heldMs) / stepMs);
        model.skip(steps);
        closedToMs += steps * stepMs;
      }
      while (closedToMs + stepMs <= readyMs) {
        const rps = rateBetween(history, closedToMs, closedToMs + stepMs, nowMs);
        closedToMs += stepMs;
        model.feed(rps);
        rates.push(rps);
        if (rates.length > 2 * keptSteps) rates.splice(0, rates.length - keptSteps);
        if (provided) learn(rps, stepMs, settings, provided);
        uppers.push({ timeMs: closedToMs, rps: upper(settings, keepFactor) });
        if (uppers.length > 2_000) uppers.splice(0, 1_000);
      }
      history = forgetProxies(history, nowMs, settings.proxyGoneMs);
    },
    demand: (nowMs, { burstWindowMs, proxyLeaseMs }) => demandOf(history, burstWindowMs, proxyLeaseMs, nowMs),
    upperRps: upper,
    heldUpperRps(windowMs) {
      let highest = 0;
      const sinceMs = (uppers.at(-1)?.timeMs ?? 0) - windowMs;
      for (let index = uppers.length - 1; index >= 0; index -= 1) {
        const point = uppers[index];
        if (!point || point.timeMs < sinceMs) break;
        highest = Math.max(highest, point.rps);
      }
      return highest < noRate ? 0 : highest;
    },
    get levelRps() {
      return forecast?.levelRps ?? 0;
    },
    get forecast() {
      return forecast;
    },
    quietForMs: (nowMs) => nowMs - lastArrivalMs,
  };
}

/** How many times faster than the clock the load's own time goes. */
function speedOf({ dayMs }: DemandSettings): number {
  return realDayMs / dayMs;
}

/** The same rates on another grid, each step the mean of what it covers. */
function* resample(rates: readonly number[], fromMs: number, toMs: number): Generator<number> {
  const totalMs = rates.length * fromMs;
  for (let startMs = 0; startMs + toMs <= totalMs; startMs += toMs) {
    let sum = 0;
    const last = Math.ceil((startMs + toMs) / fromMs);
    for (let index = Math.floor(startMs / fromMs); index < last; index += 1) {
      const overlapMs = Math.min(startMs + toMs, (index + 1) * fromMs) - Math.max(startMs, index * fromMs);
      sum += (rates[index] ?? 0) * overlapMs;
    }
    yield sum / toMs;
  }
}
