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
import { beforeSteps, createRateMemory, type RememberedRates, resample } from './rateMemory.ts';

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
  /** What a restart must not lose: what `createPoolDemand` goes on from. */
  save(): SavedDemand;
}

/** A forecast is made for a setup time; one that is off by more than this factor is made anew. */
const horizonTolerance = 1.3;
/** Within a second arrivals are mostly chance, and a queue takes them up. */
const leastStepMs = 1_000;
/** Samples are held for so long: they are closed into steps long before. */
const heldMs = 120_000;
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

interface Upper {
  readonly timeMs: number;
  readonly rps: number;
}

/** What a restart must not lose. JSON all through; some hundred kilobytes. */
export interface SavedDemand {
  readonly history: LoadHistory;
  /** Up to here (epoch ms) the load was closed into steps; null: there was none. */
  readonly closedToMs: number | null;
  readonly lastArrivalMs: number | null;
  readonly rates: RememberedRates;
  /** What was needed lately. */
  readonly uppers: readonly Upper[];
  readonly meanRps: number;
  readonly learnedSteps: number;
  /** Natural logarithm of the factor by which experience has changed the risk that is taken. */
  readonly boldness: number;
}

/** A hold is a quarter of a setup time, which is some ten steps. */
const savedUppers = 300;
/** Counts up whenever the shape or the meaning of `SavedDemand` changes: an older one is then learned anew. */
export const demandSchemaVersion = 1;

/** @param saved what `save` once gave, of this version: goes on from there. */
export function createPoolDemand(saved?: SavedDemand): PoolDemand {
  let history: LoadHistory = saved?.history ?? emptyLoadHistory;
  let forecast: Forecast | undefined;
  let closedToMs = saved?.closedToMs ?? undefined;
  const rates = createRateMemory(saved?.rates);
  const uppers = [...(saved?.uppers ?? [])];
  let { meanRps, learnedSteps, boldness } = saved ?? { meanRps: 0, learnedSteps: 0, boldness: 0 };
  let lastArrivalMs = saved?.lastArrivalMs ?? Number.NEGATIVE_INFINITY;

  /** The forecast thinks in the load's own time, whose days have 24 h; its periods and windows fit no other. */
  const forecastFor = (settings: DemandSettings): Forecast => {
    const speed = speedOf(settings);
    const horizonMs = settings.horizonMs * speed;
    const off = forecast ? forecast.horizonMs / horizonMs : Number.POSITIVE_INFINITY;
    if (forecast && off < horizonTolerance && off > 1 / horizonTolerance) return forecast;
    const fitted = createForecast(horizonMs, Math.max(leastStepMs, settings.sampleIntervalMs * speed));
    const { remembered } = rates;
    for (const rps of beforeSteps(remembered, fitted.stepMs)) fitted.remember(rps);
    for (const rps of resample(remembered.steps, remembered.stepMs, fitted.stepMs)) fitted.feed(rps);
    forecast = fitted;
    return fitted;
  };
  const skip = (model: Forecast, steps: number) => {
    const whole = Math.round(steps);
    model.skip(whole);
    rates.skip(whole * model.stepMs);
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
      const known = observeLoad(history, sample, heldMs);
      // What was left out there may be no time at all: it is not to set one here.
      if (known === history) return;
      history = known;
      const isFirst = sample.arrivals > 0 && lastArrivalMs === Number.NEGATIVE_INFINITY;
      if (sample.arrivals > 0) lastArrivalMs = Math.max(lastArrivalMs, sample.timeMs);
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
        if (closedToMs !== undefined) skip(model, (history.sinceMs - closedToMs) / stepMs);
        closedToMs = history.sinceMs;
      }
      // Older than what is held of the samples nothing can be told any more.
      if (readyMs - closedToMs > heldMs) {
        const steps = Math.ceil((readyMs - closedToMs - heldMs) / stepMs);
        skip(model, steps);
        closedToMs += steps * stepMs;
      }
      while (closedToMs + stepMs <= readyMs) {
        const rps = rateBetween(history, closedToMs, closedToMs + stepMs, nowMs);
        closedToMs += stepMs;
        model.feed(rps);
        rates.add(rps, model.stepMs);
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
    save: () => ({
      history,
      closedToMs: closedToMs ?? null,
      lastArrivalMs: Number.isFinite(lastArrivalMs) ? lastArrivalMs : null,
      rates: rates.remembered,
      uppers: uppers.slice(-savedUppers),
      meanRps,
      learnedSteps,
      boldness,
    }),
  };
}

/** How many times faster than the clock the load's own time goes. */
function speedOf({ dayMs }: DemandSettings): number {
  return realDayMs / dayMs;
}
